"""`difference`: what is said of a tensor that is not the expected one."""

import pytest
import torch

from coursekit.checking.comparing import close, difference, worked_out

INF, NAN = float("inf"), float("nan")


def numbers(*shape):
    return torch.arange(1.0, 1 + torch.Size(shape).numel()).view(shape)


def changed(x, index, value):
    other = x.clone()
    other[index] = value
    return other


def test_equal_tensors_do_not_differ():
    assert difference("Y", numbers(2, 3), numbers(2, 3)) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_rounding_error_of_the_dtype_is_no_difference(dtype):
    powers = 2.0 ** torch.arange(4).to(dtype)  # where the next larger number is a factor of 1 + eps away
    assert difference("Y", powers * (1 + torch.finfo(dtype).eps), powers) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_three_percent_are_a_difference_in_every_dtype(dtype):
    x = numbers(2, 3).to(dtype)
    assert difference("Y", x * 1.03, x)


def test_the_given_tolerance_replaces_the_one_of_the_dtype():
    x = numbers(2, 3)
    assert difference("Y", x + 0.01, x)
    assert difference("Y", x + 0.01, x, tolerance=(0.0, 0.02)) is None


def test_a_wrong_shape_is_told_with_both_shapes():
    assert difference("Y", numbers(3, 2), numbers(2, 3)) == "Y has shape (3, 2), expected (2, 3)"


def test_a_shape_that_would_broadcast_is_wrong():
    assert difference("Y", numbers(1, 3), numbers(3)) == "Y has shape (1, 3), expected (3,)"


def test_another_device_is_told_before_any_value_is_read():
    told = difference("Y", torch.empty(2, 3, device="meta"), numbers(2, 3))
    assert told == "Y is on meta, expected cpu, where the inputs are"


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(torch.float64, torch.float32), (torch.float32, torch.float16), (torch.float32, torch.bfloat16)],
)
def test_a_wider_dtype_is_right(found, wanted):
    assert difference("Y", numbers(2, 3).to(found), numbers(2, 3).to(wanted)) is None


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (torch.float32, torch.float64),
        (torch.bfloat16, torch.float16),
        (torch.int64, torch.float32),
        (torch.complex64, torch.float32),
        (torch.float32, torch.int64),
        (torch.bool, torch.int64),
    ],
)
def test_a_narrower_or_another_kind_of_dtype_is_told(found, wanted):
    told = difference("Y", torch.ones(2, dtype=found), torch.ones(2, dtype=wanted))
    assert told == f"Y has dtype {found}, expected {wanted}".replace("torch.", "")


def test_a_wider_dtype_is_held_to_the_tolerance_of_the_expected_one():
    x = numbers(2, 3)
    assert difference("Y", x.double() + 1e-6, x) is None
    assert difference("Y", x.double() + 1e-6, x.double())


@pytest.mark.parametrize(("value", "word"), [(NAN, "NaN"), (INF, "infinite"), (-INF, "infinite")])
def test_what_is_no_number_is_told_with_its_first_place(value, word):
    told = difference("Y", changed(numbers(2, 3), (1, 0), value), numbers(2, 3))
    assert told == f"Y is {word} in 1 of 6 entries, first at [1, 0]"


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_no_number_is_right_where_it_is_expected(value):
    x = changed(numbers(2, 3), (0, 1), value)
    assert difference("Y", x.clone(), x) is None


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_number_where_none_is_expected_differs(value):
    x = numbers(2, 3)
    assert "differs in 1 of 6 entries" in difference("Y", x, changed(x, (0, 1), value))


def test_infinity_of_the_wrong_sign_differs():
    x = numbers(2, 3)
    assert difference("Y", changed(x, (0, 1), INF), changed(x, (0, 1), -INF))


def test_wrong_values_are_counted_and_the_worst_is_shown():
    x = numbers(2, 3)
    told = difference("Y", x + torch.tensor([[0.1, 0.1, 0.1], [0.1, 9.0, 0.1]]), x)
    assert told == "Y differs in 6 of 6 entries, most at [1, 1]: 14, expected 5"


def test_differences_in_one_row_alone_are_told_as_such():
    x = numbers(3, 4)
    told = difference("Y", changed(x, 1, 0.0), x)
    assert "4 of 12 entries, only where index -2 is 1, most at" in told


def test_many_rows_are_not_listed_by_halves():
    x = numbers(20, 2)
    assert "only where index -2 is 0, 1, 2, 3, 4, 5, most" in difference("Y", changed(x, slice(6), 0.5), x)
    assert "only where index -2 is 1 to 7, most" in difference("Y", changed(x, slice(1, 8), 0.5), x)
    assert "only where" not in difference("Y", changed(x, slice(0, 14, 2), 0.5), x)


def test_differences_in_one_column_alone_are_told_as_such():
    x = numbers(3, 4)
    assert ", only where index -1 is 3, most at" in difference("Y", changed(x, (slice(None), 3), 0.0), x)


def test_a_single_number_can_be_compared():
    told = difference("loss", torch.tensor(2.0), torch.tensor(1.0))
    assert told == "loss is 2, expected 1"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (80.0, "your number, 80, is too large by a factor of 2"),
        (40 / 1024, "your number, 0.0390625, is too small by a factor of 1,024"),
        (40.0002, "your number, 40.0002, is too large by 0.001 percent"),
        (41.0, "your number, 41, is too large by 2.5 percent"),
        (-40.0, "your number is -40, which cannot be"),
        (NAN, "your number is nan, which cannot be"),
    ],
)
def test_of_a_number_worked_out_it_is_told_by_how_much_it_is_off(number, told):
    assert worked_out(torch.tensor(number), torch.tensor(40.0)) == told


def test_a_rounded_number_is_told_as_such():
    assert "is the right number, rounded" in worked_out(torch.tensor(8.59e9), torch.tensor(2.0**33))


def test_truth_values_are_told_as_such():
    assert difference("stop", torch.tensor(True), torch.tensor(False)) == "stop is True, expected False"


def test_as_many_digits_are_shown_as_tell_two_numbers_apart():
    told = difference("n", torch.tensor(108_892_000.0), torch.tensor(108_891_648.0))
    assert told == "n is 108892000, expected 108891648"


def test_an_empty_tensor_agrees_with_an_empty_one():
    assert difference("Y", torch.empty(0, 3), torch.empty(0, 3)) is None


def test_whole_numbers_must_be_equal():
    assert difference("n", torch.tensor([1, 2]), torch.tensor([1, 2])) is None
    assert difference("n", torch.tensor([1, 2]), torch.tensor([1, 3]))


def test_close_says_which_entries_agree():
    assert close(torch.tensor([1.0, NAN, 2.0]), torch.tensor([1.0, NAN, 3.0])).tolist() == [True, True, False]


def test_complex_numbers_are_compared_in_both_parts():
    z = torch.tensor([1 + 2j, 3 - 1j])
    assert difference("z", z, z.clone()) is None
    assert difference("z", z.to(torch.complex128), z) is None
    assert "differs in 1 of 2" in difference(
        "z", z.conj().resolve_conj() * torch.tensor([0, 1]) + z * torch.tensor([1, 0]), z
    )
    assert "dtype float32, expected complex64" in difference("z", z.real, z)
    assert "NaN" in difference("z", z * torch.nan, z)


def test_large_whole_numbers_are_told_apart():
    one, other = torch.tensor(2**60), torch.tensor(2**60 + 1)
    assert difference("n", one, other)
    assert difference("n", one, one.clone()) is None
