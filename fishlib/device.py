"""Where networks run, a GPU where there is one, and which numbers that device multiplies quickly."""

from pathlib import Path

from fishlib.errors import UserError

CPU_FLAGS = ("amx_bf16", "avx512_bf16", " bf16")  # of /proc/cpuinfo: Intel's and AMD's units, Arm's


def choose_device(flag: str = "auto") -> str:
    """ "auto" is "cuda" where there is one, else "cpu"; UserError for a device that is not here."""
    import torch

    if flag == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=flag).item()  # item: "meta" takes tensors and computes nothing
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch without CUDA raises AssertionError
        raise UserError(f"Device {flag!r} is not available here; choose cpu or auto.") from error
    return flag


def has_bf16(flag: str = "auto") -> bool:
    """Does the device multiply bf16 in hardware? On a CPU: AMX, AVX512_BF16 or Arm's bf16."""
    import torch

    device = choose_device(flag)
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    if not device.startswith("cpu"):
        return False

    for name in ("amx_tile", "avx512_bf16"):
        probe = getattr(torch.cpu, f"_is_{name}_supported", None)
        if probe and probe():
            return True
    file = Path("/proc/cpuinfo")
    said = file.read_text(errors="replace") if file.is_file() else ""
    return any(flag in said for flag in CPU_FLAGS)


def hold(flag: str) -> None:
    """UserError for a device that is not here, before anything runs; imports torch only where it must be asked."""
    if flag not in ("auto", "cpu"):
        choose_device(flag)
