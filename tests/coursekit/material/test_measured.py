"""The table of chapter 3 says what it measured, on which draws."""

from coursekit.material.measured import filling_in


def test_every_model_is_read_on_more_than_one_draw_of_the_labels():
    rows = filling_in()["rows"]
    draws = {}
    for row in rows:
        draws.setdefault((row["model"], row["read"], row["labels"]), set()).add(row["seed"])
    assert all(len(seeds) > 1 for seeds in draws.values())


def test_each_row_is_told_once():
    rows = filling_in()["rows"]
    assert len({(r["model"], r["read"], r["labels"], r["seed"]) for r in rows}) == len(rows)
