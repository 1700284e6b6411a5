"""A learner's home: chapters, progress, handing in, feedback. A part of Jupyter's server, shown inside JupyterLab."""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "coursekit.home.extension"}]


def _load_jupyter_server_extension(server_app) -> None:
    from coursekit.home.extension import load

    load(server_app)
