"""What did my class misunderstand? A report on one assignment, from the results that grading has stored."""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "grader.reporting.extension"}]


def _load_jupyter_server_extension(server_app) -> None:
    from grader.reporting.extension import load

    load(server_app)
