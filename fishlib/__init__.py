"""Does removing the background help a model name the fish? A notebook study, and the parts it is made of.

Segment a photo, composite it, name it, and score the mask:

>>> import fishlib
>>> photo, truth = fishlib.draw("Thunnus_albacares")  # or fishlib.read("photo.jpg") of your own
>>> found = fishlib.segment(photo)
>>> cutout = fishlib.composite(photo, found, background="white")
>>> names = fishlib.name(cutout)
>>> fishlib.score(found.mask, truth)["iou"] > 0.5
True

A photo is uint8 (H, W, 3) RGB, a mask bool (H, W), True = fish, a box float32 (4,) XYXY in pixels. Relative paths start
at the current folder. What goes wrong by a user's mistake is a fishlib.UserError, one sentence. A whole study on a
folder of photos is fishlib.reproduce; the command line (`fishlib --help`) does the same.
"""

from fishlib.errors import UserError

__all__ = [
    "Segmentation",
    "UserError",
    "__version__",
    "classifier",
    "composite",
    "cut",
    "draw",
    "name",
    "read",
    "reproduce",
    "score",
    "segment",
    "segmenter",
]


def read(path):
    """The photo in a file, uint8 (H, W, 3) RGB, turned as its EXIF says; UserError where it is none.

    >>> import tempfile, PIL.Image, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp(), "grey.png")
    >>> PIL.Image.new("L", (30, 20), 128).save(file)
    >>> fishlib.read(file).shape
    (20, 30, 3)
    """
    from fishlib.photos import decode

    return decode.decode(path)


def draw(species, seed=0):
    """A picture of one fish drawn by fishlib, no photograph, to try things on: (photo, its exact mask).

    species: a folder's name of the paper's 17. The same seed draws the same picture.

    >>> photo, truth = fishlib.draw("Thunnus_albacares")
    >>> photo.shape[:2] == truth.shape
    True
    """
    from fishlib import phantom

    drawn = phantom.draw(species, seed, 0)
    return drawn.photo, drawn.body | drawn.fins


def segment(photo, method="gdino-sam", **options):
    """What a method finds in one photo: a Segmentation at the photo's own size.

    photo: an array, or a file. method: one that `fishlib cut --help` names; "module:function", or a function of your
    own from a photo to its mask; or what fishlib.segmenter returned, which for many photos loads its networks once.
    options: as fishlib.segmenter.

    >>> photo, truth = fishlib.draw("Thunnus_albacares")
    >>> found = fishlib.segment(photo, "grabcut")
    >>> found.status, found.mask.shape == truth.shape
    ('ok', True)
    >>> fishlib.segment(photo, lambda photo: photo[..., 2] < 120).status
    'ok'
    """
    from fishlib.removal.segmenters import whole

    if hasattr(method, "segment"):
        return whole.segment(method, _pixels(photo))
    return whole.segment(segmenter(method, **options), _pixels(photo))


def segmenter(method="gdino-sam", device="auto", offline=True, **params):
    """A method with its networks, to be given to fishlib.segment for many photos.

    method: as fishlib.segment. device: auto, cpu, cuda or mps. offline=False may fetch what is missing. params: options
    of the method, as profiles have them under `segmenters`; without any, the tiny stand-ins that come with fishlib.

    >>> grabcut = fishlib.segmenter("grabcut", iterations=2)
    >>> [fishlib.segment(fishlib.draw("Thunnus_albacares", seed)[0], grabcut).status for seed in (0, 1)]
    ['ok', 'ok']
    """
    from fishlib.removal import segmenters
    from fishlib.removal.segmenters import own

    if callable(method):
        return own.of(method)
    return segmenters.build(own.named(method), params, device, offline)


def composite(photo, found, background="black", crop=False, dilate=0):
    """The photo with another background, uint8 (H, W, 3) RGB, or (H, W, 4) where it is transparent.

    found: a Segmentation or a mask. background: black, white, blue, green, red, transparent or #rrggbb. crop: cut to
    the detected box. dilate: grow the mask so often by a pixel. Without a mask the photo stays as it is.

    >>> photo, truth = fishlib.draw("Thunnus_albacares")
    >>> cutout = fishlib.composite(photo, truth, background="#ff0000")
    >>> cutout[~truth].mean(axis=0).tolist()
    [255.0, 0.0, 0.0]
    """
    from fishlib.photos import ground

    mask, box = (found.mask, found.box) if hasattr(found, "mask") else (found, None)
    return ground.put(_pixels(photo), mask, box, ground.colour(background), crop, dilate)


def name(photo, classifier="zoo", species=None, top=5):
    """Who is it? The best answers, a list of (species, share), best first; shares of all answers add up to 1.

    classifier: "zoo" (knows drawn fish alone), a checkpoint file, or what fishlib.classifier returned. species: the
    answers to choose among (the outputs of all others are masked); all that it knows without.

    >>> photo, truth = fishlib.draw("Thunnus_albacares")
    >>> [len(fishlib.name(photo, top=3)), fishlib.name(photo, species=["Thunnus_albacares"])[0]]
    [3, ('Thunnus_albacares', 1.0)]
    """
    from fishlib.naming import asking

    model = globals()["classifier"](classifier) if isinstance(classifier, str) or _is_path(classifier) else classifier
    return asking.best(model, _pixels(photo), species, top)


def classifier(source="zoo", device="auto", backbone=None):
    """A classifier, to be given to fishlib.name for many photos.

    source: zoo, or a checkpoint file with its class list (see the README). backbone: timm's name of the network, where
    the file does not say it.

    >>> model = fishlib.classifier("zoo")
    >>> "Thunnus_albacares" in model.classes
    True
    """
    from fishlib.naming import classifier as classifiers

    return classifiers.load(source, backbone or classifiers.LITE0, device)


def score(mask, truth, fins=None):
    """How good a mask is: a dict of iou, precision, recall and fin_recall, each 0 to 1 (NaN where nothing is to score).

    mask: bool (H, W), or None where nothing was found. truth: the exact mask; fins: its fins alone.

    >>> photo, truth = fishlib.draw("Thunnus_albacares")
    >>> fishlib.score(truth, truth)["iou"]
    1.0
    """
    from fishlib.scores import evaluation

    try:
        return evaluation.mask_scores(mask, truth, fins)
    except ValueError as error:
        raise UserError(str(error)) from error


def cut(paths, out, method="gdino-sam", **options):
    """Cut out the photos of a file, a folder or several of them into the folder `out`; returns how many of each status.

    method: as fishlib.segment. options: background, crop, dilate, params, device, offline and overwrite, as the command
    `fishlib cut` has them. Called again it goes on where it was stopped.

    >>> import tempfile, PIL.Image, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> PIL.Image.fromarray(fishlib.draw("Thunnus_albacares")[0]).save(folder / "1.png")
    >>> counts = fishlib.cut([folder], folder / "cutouts", "grabcut", background="transparent", offline=True)
    >>> counts["photos"], counts["ok"], (folder / "cutouts" / "1.png").is_file()
    (1, 1, True)
    """
    from pathlib import Path

    from fishlib.removal import cut as cutting
    from fishlib.removal.segmenters import own

    if callable(method):
        method = own.keep(method)
    elif isinstance(method, str):
        method = own.named(method)
    photos = [paths] if _is_path(paths) else paths
    return cutting.cut([Path(path) for path in photos], Path(out), method, **options).counts


def reproduce(out, only=None, **parameters):
    """The whole study in the folder `out`, as `fishlib reproduce`; returns the report's first page.

    only: one notebook, such as "02". parameters: profile, photos, masks, method, classifier, offline, device and force,
    as the command has them; method may be "module:function" of your own.

    >>> fishlib.reproduce("runs/mine", photos="no such folder", offline=True)
    Traceback (most recent call last):
    fishlib.errors.UserError: ...no such folder is no folder; --photos takes a folder with one subfolder a species.
    """
    from fishlib import run

    return run.reproduce(only=only, out=out, **parameters)


def _pixels(photo):
    """uint8 (H, W, 3) of an array or a file; UserError for another array."""
    if _is_path(photo):
        return read(photo)
    if getattr(photo, "dtype", None) != "uint8" or photo.ndim != 3 or photo.shape[2] != 3:
        said = f"{getattr(photo, 'dtype', type(photo).__name__)} {getattr(photo, 'shape', '')}".strip()
        raise UserError(f"A photo is uint8 (H, W, 3) RGB or a file, not {said}; fishlib.read gives one.")
    return photo


def _is_path(given):
    return isinstance(given, str) or hasattr(given, "__fspath__")


def __getattr__(name):
    """What is looked up when it is asked for, so that `import fishlib` costs next to nothing (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("fishlib")
    if name == "Segmentation":
        from fishlib.removal.segmenters import Segmentation

        return Segmentation
    raise AttributeError(f"module 'fishlib' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
