"""nbgrader's settings for this course. Every nbgrader command is run from this folder."""

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

# A check cell that a learner deleted counts 0 instead of disappearing from the total.
c.OverwriteCells.add_missing_cells = True

# Seconds that one cell may take. The longest cell of a chapter needs a small part of this.
c.Execute.timeout = 180
