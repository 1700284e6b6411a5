"""Seeds of the cases. The public one makes the tensors that learners have; the secret ones stay in the grader."""

PUBLIC = 2
SECRET = tuple(7_368_787 * n + 190_027 for n in range(1, 21))
