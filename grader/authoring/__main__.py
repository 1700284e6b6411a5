"""`python -m grader.authoring COMMAND`."""

import sys

from grader.authoring.cli import main

sys.exit(main())
