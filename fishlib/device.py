"""Where networks run: a GPU where there is one; a flag overrides."""

from fishlib.errors import UserError


def choose_device(flag: str = "auto") -> str:
    """ "auto" is "cuda" where there is one, else "cpu"; UserError for a device that is not here."""
    import torch

    if flag == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=flag)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises AssertionError
        raise UserError(f"Device {flag!r} is not available here; choose cpu or auto.") from error
    return flag
