from coursekit.material.clinic import ILLNESSES
from coursekit.widgets.clinic import draw_clinic


def test_the_clinic_holds_no_english(in_xx):
    names = {word for name in ILLNESSES for word in name.replace("-", " ").split()}  # what `diagnose` returns
    shown = (draw_clinic("healthy", 0), draw_clinic("labels leak", 1), draw_clinic("7", 0), draw_clinic("healthy", -1))
    for one in shown:
        assert english(" ".join(one._repr_mimebundle_().values()), names) == set()
