"""Proofs about the exercises: the gate, and the public tensors that learners' checks compare with."""
