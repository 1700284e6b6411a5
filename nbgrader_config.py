"""nbgrader's settings for this course. Every nbgrader command is run from this folder."""

import json
import os
import sys

c = get_config()  # nbgrader provides it

# nbgrader calls `alembic` by name: find the one beside this Python, also where the environment is not activated.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")

# The folder of this file, so that JupyterLab's extensions work wherever the server was started.
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
c.CourseDirectory.course_id = os.environ.get("NBGRADER_COURSE", "large-models")
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "course"
c.CourseDirectory.submitted_directory = "submitted"
c.CourseDirectory.autograded_directory = "autograded"
c.CourseDirectory.feedback_directory = "feedback"

# One folder that instructors and learners can all write to. Unset: nbgrader's own default.
if os.environ.get("NBGRADER_EXCHANGE"):
    c.Exchange.root = os.environ["NBGRADER_EXCHANGE"]
# Another database than ./gradebook.db, PostgreSQL for example.
if os.environ.get("NBGRADER_DB"):
    c.CourseDirectory.db_url = os.environ["NBGRADER_DB"]

# course/ is committed: generate_assignment writes the same bytes over it and fills the gradebook. Without
# `force` it would skip a folder that exists, and later commands would not find the assignment.
c.GenerateAssignment.force = True

# Grading: a submission is rebuilt from the release, runs in a sandbox, and is judged outside of it (docs/grading.md).
c.Autograde.exporter_class = "grader.plugins.autograde.TrustedExporter"
c.Autograde.sanitize_preprocessors = []
c.Autograde.autograde_preprocessors = [
    "grader.plugins.autograde.Grade",
    "grader.plugins.autograde.Record",
    "nbgrader.preprocessors.AssignLatePenalties",
]
# What one submission may use: seconds and bytes, for example {"wall": 300, "memory": 4 << 30}.
c.TrustedExporter.limits = json.loads(os.environ.get("NBGRADER_LIMITS", "{}"))
c.TrustedExporter.exchange = os.environ.get("NBGRADER_EXCHANGE", "")
# Feedback and formgrader: what learners wrote is cleaned when it is HTML, and equations need no network.
c.HTMLExporter.filters = {"markdown2html": "grader.plugins.showing.markdown2html"}
c.GenerateFeedback.exporter_class = "grader.plugins.showing.Feedback"
# The log names folders as learners named them: what a terminal would obey is spelled.
c.NbGrader.logging_config = {"formatters": {"console": {"class": "grader.plugins.terminal.Plain"}}}
