from coursekit.widgets.landscape import draw_landscape
from coursekit.widgets.precision import draw_precision, formats
from coursekit.widgets.rate_finder import draw_rates
from coursekit.widgets.tokenizing import UTF_8, draw_tokens


def test_widgets_of_the_first_chapter_hold_no_english(in_xx):
    rates, ladder = [10.0 ** (k / 10) for k in range(20)], [2.0 - k / 20 for k in range(20)]
    curves = (ladder, ladder[:10] + ladder[9::-1], [2.0] * 20, ladder[1:], 2.0, [0.0] * 20)
    rulers = (
        *(("bfloat16",), ("float16", 0, 1.5), ("float32", 3), ("float8_e4m3fn", 7, 500), ("7",), ("float32", -1)),
        *(("float16", 7, 0), ("float16", 7, 1, 0)),
    )
    shown = [
        *(draw_landscape(*values) for values in ((0.05, 0.9), (1.0, 0.9), (0, 0), (1, 2), (1, 0, -1), (1, 0, 0, 0))),
        *(draw_landscape(1, 0, 0, 1, -1), draw_rates(lambda batch: ladder, rates[:3], 8, 1)),
        *(draw_rates(lambda batch, losses=losses: losses, rates, 8, 1) for losses in curves),
        *(draw_rates(None, rates, 0, 1), draw_rates(None, rates, 8, 0)),
        *(draw_precision(*values) for values in rulers),
        *(draw_tokens({"1": pair}, "7é") for pair in (UTF_8, (lambda text: [55], UTF_8[1]))),
        draw_tokens({}, "7\ud800"),
    ]
    names = {*formats(), "SGD", "AdamW", "Muon", "UTF", "growing_rates", "float"}
    for one in shown:
        assert english(" ".join(one._repr_mimebundle_().values()), names) == set()
