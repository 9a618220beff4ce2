"""What disks, rights and limits refuse, which is no bug: it is told by the path, without a traceback."""

import errno

SURROUNDINGS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE),
    *(errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE),
}
"""Of an error, the numbers that are so."""


def told_by_path(error: OSError) -> str:
    """What to say of what the surroundings refused; empty for any other error, which is a bug."""
    if error.errno not in SURROUNDINGS:
        return ""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}"
