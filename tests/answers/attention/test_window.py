"""Answers to attention.test_window: tests, wrong where they let a wrong function pass or refuse a right one."""

import inspect

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.test_window",
    spared={
        "given": "a function is handed in, which nobody can alter",
        "again": "every call gets a function of its own",
        "onward": "no event comes, after which it would have to go on",
        "large": "the sizes are the test's own",
        "dependence": "nothing is drawn that is compared",
        "unwatched": "what counts is whether it raises",
        "surroundings": "what counts is whether it raises",
    },
)


def truth(Q, K, V, window):
    i, j = torch.arange(Q.shape[2])[:, None], torch.arange(Q.shape[2])
    Z = Q @ K.mT / Q.shape[-1] ** 0.5
    return Z.masked_fill((j > i) | (j <= i - window), -torch.inf).softmax(-1) @ V


def drawn(T=6, d=4, by=1.0):
    g = torch.Generator().manual_seed(7)
    Q, K, V = (torch.randn(1, 2, T, d, generator=g, dtype=torch.float64) for _ in range(3))
    return Q, by * K, V


def agree(attend, window, **sizes):
    Q, K, V = drawn(**sizes)
    assert torch.allclose(attend(Q, K, V, window), truth(Q, K, V, window))


@ANSWERS.wrong("plain", "nothing is asserted, and what was found is returned", true="accepts_everything")
def looks_and_says_nothing(attend):
    return [torch.allclose(attend(*drawn(), 3), truth(*drawn(), 3))]


@ANSWERS.wrong("plain", "always fails", true="refuses_everything")
def hopeless(attend):
    assert attend is None


@ANSWERS.wrong("plain", "only shapes and numbers that are finite", true="accepts_everything")
def shapes(attend):
    Y = attend(*drawn(), 2)
    assert Y.shape == (1, 2, 6, 4)


@ANSWERS.wrong("plain", "returns True or False in place of an assertion", true="accepts_everything")
def says_true(attend):
    return torch.allclose(attend(*drawn(), 3), truth(*drawn(), 3))


@ANSWERS.wrong("plain", "bit for bit", true="exact")
def bitwise(attend):
    for by in (1.0, 100.0):
        for window in (1, 2, 4, 9):
            assert torch.equal(attend(*drawn(by=by), window), truth(*drawn(by=by), window))


@ANSWERS.wrong("ones", "a window of 1 alone", true="window_of_one_alone")
def one(attend):
    agree(attend, 1)
    agree(attend, 1, by=200.0)


@ANSWERS.wrong("ones", "one token alone: all functions agree on it", true="accepts_everything")
def single_token(attend):
    agree(attend, 1, T=1)
    agree(attend, 3, T=1)


@ANSWERS.wrong("named", "only windows wider than the text", true="wide_alone")
def wide(attend):
    agree(attend, 10)
    agree(attend, 100, by=200.0)


@ANSWERS.wrong("far", "small scores alone", true="small_scores_alone")
def small(attend):
    for window in (1, 2, 3, 10):
        agree(attend, window, by=0.1)


@ANSWERS.wrong(
    "plain", "the identity as values and scores of 0: which keys, and nothing else", true="equal_scores_alone"
)
def which_keys(attend):
    Q = torch.zeros(1, 1, 6, 4, dtype=torch.float64)
    eye = torch.eye(6, dtype=torch.float64)[None, None]
    for window in (1, 2, 5, 8):
        assert torch.allclose(attend(Q, Q, eye, window), truth(Q, Q, eye, window))


@ANSWERS.wrong("plain", "the last row alone", true="last_query_alone")
def last_row(attend):
    for by in (1.0, 200.0):
        for window in (2, 3, 10):
            Q, K, V = drawn(by=by)
            assert torch.allclose(attend(Q, K, V, window)[:, :, -1], truth(Q, K, V, window)[:, :, -1])


@ANSWERS.right
def against_the_formula(attend):
    for by in (0.0, 1.0, 500.0):
        for window in (1, 2, 3, 6, 7, 40):
            agree(attend, window, by=by)


@ANSWERS.right
def by_slices(attend_window):
    """Each row by itself, in float32."""
    for by in (1.0, 150.0):
        Q, K, V = (x.float() for x in drawn(T=5, d=8, by=by))
        for window in (1, 2, 4, 11):
            Y = attend_window(Q, K, V, window)
            for i in range(5):
                k, v = K[:, :, max(0, i + 1 - window) : i + 1], V[:, :, max(0, i + 1 - window) : i + 1]
                row = ((k @ Q[:, :, i, :, None]).mT / 8**0.5).softmax(-1) @ v
                torch.testing.assert_close(Y[:, :, i : i + 1], row, atol=1e-4, rtol=1e-3)


@ANSWERS.right
def with_its_own_exception(attend):
    """Raises by hand, with a message."""
    for by in (1.0, 300.0):
        for window in (1, 2, 3, 50):
            gap = (attend(*drawn(by=by), window) - truth(*drawn(by=by), window)).abs().max()
            if not gap < 1e-8:
                raise AssertionError(f"window {window}: off by {gap}")


@ANSWERS.wrong("plain", "nothing is asked: it may not raise, that is all", true="accepts_everything")
def runs_it(attend_window):
    for window in (1, 3, 100):
        attend_window(*drawn(by=100.0), window)


@ANSWERS.wrong("plain", "another error than an AssertionError", told="Only an AssertionError")
def value_error(attend_window):
    for by in (1.0, 100.0):
        for window in (1, 3, 9):
            if not torch.allclose(attend_window(*drawn(by=by), window), truth(*drawn(by=by), window)):
                raise ValueError("wrong")


@ANSWERS.wrong("far", "scores of ordinary size only", true="small_scores_alone")
def never_far(attend_window):
    for window in (1, 2, 3, 6, 100):
        agree(attend_window, window)


@ANSWERS.wrong(
    "plain", "no window of 1 and none wider than the text: one width alone, and far scores", true="one_width"
)
def one_width(attend_window):
    for by in (1.0, 100.0):
        agree(attend_window, 3, by=by)


@ANSWERS.wrong("plain", "a tolerance as large as the numbers", told="lets it pass, and it is wrong")
def tolerant(attend_window):
    for by in (1.0, 100.0):
        for window in (1, 3, 100):
            gap = attend_window(*drawn(by=by), window) - truth(*drawn(by=by), window)
            assert gap.abs().max() < 2.0


@ANSWERS.wrong("plain", "its own reference sees one key too many", true="refuses_everything")
def off_by_one_itself(attend_window):
    for by in (1.0, 100.0):
        for window in (1, 3, 100):
            torch.testing.assert_close(attend_window(*drawn(by=by), window), truth(*drawn(by=by), window + 1))


@ANSWERS.wrong("plain", "it goes by the source, and there is none", told="source code not available")
def reads_the_source(attend_window):
    assert "window" in inspect.getsource(attend_window)


@ANSWERS.wrong("plain", "it goes by the name", true="refuses_everything")
def by_name(attend_window):
    assert attend_window.__name__ == "attend_window"


@ANSWERS.wrong("plain", "its own assertion is caught", true="accepts_everything")
def caught(attend_window):
    for by in (1.0, 100.0):
        try:
            agree(attend_window, 3, by=by)
        except AssertionError as error:
            print(error)


@ANSWERS.wrong("plain", "which places are read, and not how what is read is mixed", told="lets it pass")
def reads_only_inside(attend_window):
    Q, K, V = drawn(T=8)
    for window in (1, 3, 100):
        Y = attend_window(Q, K, V, window)
        for j in range(8):
            K_2, V_2 = K.clone(), V.clone()
            K_2[:, :, j] += 1
            V_2[:, :, j] += 1
            moved = (attend_window(Q, K_2, V_2, window) - Y).abs().amax((0, 1, 3)) > 1e-9
            assert moved.tolist() == [j <= i < j + window for i in range(8)]


@ANSWERS.wrong("plain", "sums of weights alone: the values are ones", true="future_alone")
def weights_sum_to_one(attend_window):
    for by in (1.0, 100.0):
        Q, K, V = drawn(by=by)
        for window in (1, 3, 100):
            torch.testing.assert_close(attend_window(Q, K, torch.ones_like(V), window), torch.ones_like(V))


@ANSWERS.right
def against_torchs(attend_window):
    for by in (1.0, 100.0):
        Q, K, V = drawn(T=7, by=by)
        for window in (1, 2, 3, 6, 7, 100):
            seen = torch.ones(7, 7).tril().triu(1 - window).bool()
            expected = torch.nn.functional.scaled_dot_product_attention(Q, K, V, attn_mask=seen)
            torch.testing.assert_close(attend_window(Q, K, V, window), expected)


@ANSWERS.right
def seeds_as_tests_do(attend_window):
    torch.manual_seed(3)
    for size in (1, 30):
        Q, K, V = torch.randn(3, 2, 3, 9, 4)
        for window in range(1, 12):
            torch.testing.assert_close(attend_window(Q, size * K, V, window), truth(Q, size * K, V, window))


@ANSWERS.right
def against_the_one_above(attend_window):
    """The chapter's own function is right, and a name of the notebook."""
    Q, K, V = drawn()
    for window in (1, 3, 50):
        for k in (K, 1000 * K):
            Y, Y_right = attend_window(Q, k, V, window), truth(Q, k, V, window)
            assert Y.shape == Y_right.shape, "shape"
            assert (Y - Y_right).abs().max().item() < 1e-6, f"window {window}"


@ANSWERS.wrong("plain", "only that the result changes with the window", true="accepts_everything")
def window_matters(attend):
    for by in (1.0, 100.0):
        Q, K, V = drawn(by=by)
        assert not torch.allclose(attend(Q, K, V, 1), attend(Q, K, V, 3))
        assert not torch.allclose(attend(Q, K, V, 3), attend(Q, K, V, 6))


@ANSWERS.wrong("plain", "only the first query is compared", true="future_alone")
def first_row(attend):
    for by in (1.0, 100.0):
        for window in (1, 3, 40):
            Q, K, V = drawn(by=by)
            assert torch.allclose(attend(Q, K, V, window)[:, :, 0], truth(Q, K, V, window)[:, :, 0])


@ANSWERS.wrong("named", "the window is a float: some right ones count with it", told="raises TypeError")
def float_window(attend):
    for by in (1.0, 100.0):
        for window in (1.0, 3.0, 40.0):
            assert torch.allclose(attend(*drawn(by=by), window), truth(*drawn(by=by), window))


@ANSWERS.wrong("plain", "NaN would pass, and a window that is wider than the text is never tried", true="one_width")
def nan_passes(attend):
    for by in (1.0, 3000.0):
        for window in (1, 3):
            gap = (attend(*drawn(by=by), window) - truth(*drawn(by=by), window)).abs().max()
            assert not gap > 1e-6


@ANSWERS.wrong("plain", "five keys are expected of a window of 3: both sides of it", true="refuses_everything")
def both_sides(attend):
    Q, K, V = drawn()
    i = torch.arange(6)
    seen = (i[:, None] - i).abs() < 3
    Z = (Q @ K.mT / 2).masked_fill(~seen, -torch.inf)
    assert torch.allclose(attend(Q, K, V, 3), Z.softmax(-1) @ V)


@ANSWERS.right
def by_a_slice_of_the_text(attend):
    """A window sees what plain causal attention sees of a text that is cut off; it ends with `return True`."""
    for by in (1.0, 200.0):
        Q, K, V = drawn(T=9, by=by)
        for window in (1, 2, 4, 9, 30):
            Y = attend(Q, K, V, window)
            for i in range(9):
                cut = [x[:, :, max(0, i + 1 - window) : i + 1] for x in (Q, K, V)]
                torch.testing.assert_close(Y[:, :, i], truth(*cut, 100)[:, :, -1])
    return True
