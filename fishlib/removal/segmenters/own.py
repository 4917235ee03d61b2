"""Methods of the user's own: a function from a photo to its mask, which the package need not know.

Who runs fishlib names one on the command line (--method), in a script or in a notebook's parameter; profiles and run
folders may come from strangers, so nothing in them makes one run. `named` is called with what the user said and with
nothing else; `segmenters.build` knows afterwards what was named, and no other.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np

from fishlib import cache
from fishlib.errors import NotRun, UserError
from fishlib.files import paths
from fishlib.removal import segmenters
from fishlib.removal.segmenters import NO_DETECTION, Segmentation, answers

GROUP = "fishlib.methods"  # the entry points of installed packages: NAME = "module:function"
NAMED: dict[str, "Own"] = {}  # what the user named in this process, by the name of its folder under segments/


class Own:
    """A segmenter (see segmenters.Segmenter) round a function of the user's.

    name: part of a file's name, as segments/<name> is. function: uint8 (H, W, 3) RGB -> bool (H, W), True = fish; None
    or an empty mask where it finds nothing; or a Segmentation. It gets the photo at the working size. code: the source
    that the function lies in, so that an edited method is another one; what it imports is not looked at.
    """

    def __init__(self, name: str, function: Callable, code: str):
        self.name = name
        self.function = function
        self.key = {"method": "own", "name": name, "source": cache.key(code=code), "code": cache.code_version(__name__)}

    def segment(self, images: list[np.ndarray], photo_ids: list[str]) -> list[Segmentation]:
        return [self._one(image, photo_id) for image, photo_id in zip(images, photo_ids, strict=True)]

    def _one(self, image: np.ndarray, photo_id: str) -> Segmentation:
        try:
            found = self.function(image.copy())
        except UserError:
            raise
        except Exception as error:
            raise NotRun(f"{self.name} stopped at {photo_id}: {answers.told(error)}; correct the method.") from error
        if isinstance(found, Segmentation):
            return found
        return self._of_mask(found, image.shape[:2], photo_id)

    def _of_mask(self, mask, size: tuple[int, int], photo_id: str) -> Segmentation:
        if mask is None:
            return Segmentation(status=NO_DETECTION, reason=f"{self.name} found nothing")

        mask = np.asarray(mask)
        if mask.shape != size or mask.dtype.kind not in "bui":
            raise NotRun(
                f"{self.name} answered {photo_id} with {mask.dtype} {mask.shape}; a method answers with a mask of "
                f"booleans, {size}, True where the fish is, or with None."
            )
        mask = mask.astype(bool)
        if not mask.any():
            return Segmentation(status=NO_DETECTION, reason=f"{self.name} found nothing")

        from fishlib.photos import masks

        return Segmentation(mask, masks.box_of(mask))


def named(said: str, folder: Path | None = None) -> str:
    """The method that the user named, ready to be built in this process; returns its name in tables and folders.

    said: "module:function" or "file.py:function", found in `folder` (the current one without) or among what is
    installed; or the name of an entry point of the group GROUP. Another name is returned as it is. UserError where
    there is no such module or function.
    """
    if said in segmenters.MODULES:
        return said
    place, separator, attribute = said.rpartition(":")
    if separator:
        file = file_of(said, folder)
        module = _from_file(file) if file else _installed(place, said)
        return _keep(Own(f"{module.__name__}.{attribute}", _function(module, attribute, said), _source(module)))
    for entry in entry_points(group=GROUP, name=said):
        place, _, attribute = entry.value.partition(":")
        module = _installed(place, said)
        return _keep(Own(said, _function(module, attribute, said), _source(module)))
    return said


def of(function: Callable) -> Own:
    """The segmenter of a function of a script or a notebook."""
    name = getattr(function, "__name__", type(function).__name__).strip("<>")
    try:
        code = inspect.getsource(function)
    except (OSError, TypeError):  # typed into a console
        code = repr(function)
    return Own(name, function, code)


def keep(function: Callable) -> str:
    """`of`, kept under its name, which is returned, for `segmenters.build`."""
    segmenter = of(function)
    return _keep(segmenter)


def absolute(said: str | None) -> str | None:
    """What the user said, so that a process that starts in another folder finds the same file."""
    file = file_of(said) if said else None
    return f"{file}:{said.rpartition(':')[2]}" if file else said


def file_of(said: str, folder: Path | None = None) -> Path | None:
    """The file that "module:function" or "file.py:function" means; None where it means no file of the user's."""
    place, separator, _ = said.rpartition(":")
    if not separator or not place:
        return None
    name = place if place.endswith(".py") else f"{place}.py"
    path = (folder or Path.cwd()) / Path(name).expanduser()
    if path.is_file():
        return path.resolve()
    if place.endswith(".py"):
        raise UserError(f"{path} is missing; --method takes a known name, module:function or file.py:function.")
    return None


def _from_file(file: Path):
    """The module of a file, with the files beside it to import from."""
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    name = file.stem
    known = sys.modules.get(name)
    if known is not None and _is_file(known, file):
        return known
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    if known is None:
        sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        if known is None:
            del sys.modules[name]
        raise UserError(f"{file} cannot be imported: {answers.told(error)}; correct it.") from error
    return module


def _is_file(module, file: Path) -> bool:
    own = getattr(module, "__file__", None)
    return own is not None and Path(own).resolve() == file


def _installed(place: str, said: str):
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and place.startswith(error.name):
            here = Path.cwd()
            raise UserError(
                f"--method {said}: there is no module {place!r} in {here} or among what is installed; give the file, "
                "as in path/to/file.py:function."
            ) from error
        raise UserError(f"--method {said}: {place} needs {error.name}, which is not installed.") from error
    except Exception as error:
        raise UserError(f"--method {said}: {place!r} cannot be imported: {answers.told(error)}.") from error


def _function(module, attribute: str, said: str) -> Callable:
    found = getattr(module, attribute, None)
    if not callable(found):
        raise UserError(f"--method {said}: {module.__name__} has no function {attribute!r}.")
    return found


def _source(module) -> str:
    """The module's source, or its version where it is compiled."""
    file = getattr(module, "__file__", None)
    return cache.file_hash(Path(file)) if file else repr(module)


def _keep(segmenter: Own) -> str:
    name = paths.part_of_a_name(segmenter.name, "The method")
    known = {paths.fold(method) for method in (*segmenters.MODULES, "truth")}
    if paths.fold(name) in known:
        raise UserError(f"{name} is a method of fishlib's; give yours another name.")
    NAMED[name] = segmenter
    return name
