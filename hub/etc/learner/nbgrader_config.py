"""nbgrader's settings in a learner's server: which course, where the exchange is, who is enrolled."""

import os

c = get_config()
c.CourseDirectory.course_id = os.environ["NBGRADER_COURSE"]
c.Exchange.root = os.environ["NBGRADER_EXCHANGE"]
c.Authenticator.plugin_class = "nbgrader.auth.JupyterHubAuthPlugin"
c.NbGrader.logfile = ""
