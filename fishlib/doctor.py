"""`fishlib doctor`: what this machine offers and what is missing."""

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

PACKAGES = [
    "jupyterlab", "torch", "torchvision", "timm", "segment-anything", "groundingdino-py",
    "opencv-python", "matplotlib", "seaborn", "ipywidgets", "papermill", "transformers",
]  # fmt: skip


def lines() -> list[str]:
    """One line a fact, for a person to read or to paste into a question."""
    found = [f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name}: missing; `make setup` installs it")
    try:
        import torch
        import torchvision  # noqa: F401  (a CPU-only torch beside another torchvision fails here)

        found.append(f"device: {'cuda' if torch.cuda.is_available() else 'cpu'}, {torch.get_num_threads()} threads")
    except (ImportError, RuntimeError) as error:
        found.append(f"torch and torchvision do not work together ({error}); install a matching pair")
    free = shutil.disk_usage(".").free / 1e9
    return [*found, f"free disk here: {free:.0f} GB", *_checkpoints()]


def _checkpoints() -> list[str]:
    """For each profile of the package, the public checkpoints that are not here, all of them at once."""
    from fishlib import profiles
    from fishlib.naming import needs

    found = []
    for name in profiles.names():
        missing = needs.missing(profiles.load(name))
        told = "every checkpoint is here"
        if missing:
            told = f"missing {', '.join(missing)}; `fishlib weights fetch --profile {name}` gets them"
        found.append(f"profile {name}: {told}")
    return found
