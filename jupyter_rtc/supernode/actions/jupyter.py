"""What Jupyter Server's managers raise, as the errors of actions."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tornado.web import HTTPError

from .definition import ActionError

_NO_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
# What a manager says of its own limits and rights, such as those of a hub.
_PASSED_ON = {403, 409, 423, 429, 503, 504, 507}
_HEADER = re.compile(r"[ -~]{1,64}")


@contextmanager
def starting() -> Iterator[None]:
    """Say of a kernel that does not start why not."""
    try:
        yield
    except Exception as error:  # whatever starts kernels here may raise what it likes
        _pass_on(error)
        raise ActionError(502, f"the kernel could not be started: {_text(error)}") from error


@contextmanager
def managing(missing: str) -> Iterator[None]:
    """Say of a kernel, a session or a kernel spec why nothing can be done with it; `missing`: it is not there."""
    try:
        yield
    except OSError as error:
        raise ActionError(502, f"the kernel could not be started: {_text(error)}") from error
    except KeyError:
        raise ActionError(404, missing) from None
    except HTTPError as error:
        if error.status_code == 404:
            raise ActionError(404, missing) from None
        _pass_on(error)
        raise ActionError(502, f"the kernel cannot be reached: {_text(error)}") from error
    except RuntimeError as error:
        raise ActionError(409, _text(error)) from error


@contextmanager
def managing_contents(field: str, wrong: int = 400) -> Iterator[None]:
    """Pass on what the contents manager says of the path in `field`; `wrong` is the status for its 400.

    A name that the file system does not take is the request's fault. What else it cannot do is the server's, a 500.
    """
    try:
        yield
    except HTTPError as error:
        _pass_on(error)
        if error.status_code == 401:  # of the manager, by a server behind it
            raise ActionError(502, _text(error)) from error
        if error.status_code < 500:
            status = wrong if error.status_code == 400 else error.status_code
            raise ActionError(status, _text(error), field if status == 400 else "") from None
        _refuse_name(error.__cause__, field)
        raise
    except OSError as error:
        _refuse_name(error, field)
        raise


def _pass_on(error: Exception) -> None:
    """Raise what a manager says of its limits and rights as it is, with the time after which to try again."""
    if not isinstance(error, HTTPError) or error.status_code not in _PASSED_ON:
        return
    if isinstance(error.__cause__, OSError):  # there was nobody to say it
        return
    raise ActionError(error.status_code, _text(error), retry_after=_retry_after(error)) from error


def _retry_after(error: Exception) -> str:
    """Return the header that came with an error, or with the answer of a server behind the manager, as it may be."""
    for one in (error, error.__cause__):
        for place in (one, getattr(one, "response", None)):
            value = str((getattr(place, "headers", None) or {}).get("Retry-After", ""))
            if _HEADER.fullmatch(value):
                return value
    return ""


def _refuse_name(error: BaseException | None, field: str) -> None:
    if isinstance(error, OSError) and error.errno in _NO_NAME:
        raise ActionError(400, str(error.strerror), field) from None


def _text(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return error.log_message or error.reason or f"status {error.status_code}"
    return str(error) or type(error).__name__
