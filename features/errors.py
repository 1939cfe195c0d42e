"""The one error heed raises for the person at the keyboard."""

from __future__ import annotations


class HeedError(Exception):
    """Something the user can mend: one sentence saying what is wrong, where, and what to do.

    The front door prints it without a traceback and exits with status 2. Anything else that is raised is a bug.
    """
