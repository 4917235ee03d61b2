"""Checkpoints as transformers keeps them: a folder with config.json, the weights and how a photo is prepared."""

from pathlib import Path

from fishlib.errors import NotRun, UserError
from fishlib.files import documents
from fishlib.zoo.quiet import quiet


def of_transformers(name: str):
    """transformers' class of that name; NotRun where the release that is installed has none."""
    import transformers

    found = getattr(transformers, name, None)
    if found is None:
        raise NotRun(f"transformers {transformers.__version__} has no {name}; install transformers 5 or newer.")
    return found


def kind(folder: Path) -> str:
    """The model type that a folder's config.json names, such as "sam2_video"; NotRun where none is readable."""
    if not folder.is_dir():
        raise NotRun(
            f"{folder} is a file, but a folder of transformers is needed, as `fishlib weights fetch` makes it."
        )
    try:
        said = documents.read_object(folder / "config.json").get("model_type")
    except UserError as error:
        raise NotRun(str(error)) from error
    return str(said)


def hold_kind(folder: Path, kinds: tuple[str, ...], what: str, fetch: str) -> str:
    """`kind`, which must be one of `kinds`; NotRun names what the folder holds instead."""
    found = kind(folder)
    if found not in kinds:
        raise NotRun(f"{folder} holds a model of type {found!r}, no {what}; run `fishlib weights fetch {fetch}`.")
    return found


def read(folder: Path, model_class, processor_class, what: str, fetch: str) -> tuple:
    """(model in fp32, its processor) of a folder, from its files only; NotRun where it holds none or lacks weights.

    what: the model's name in a sentence. fetch: its name in the weights' manifest.
    """
    import torch

    try:
        with quiet():
            model, told = model_class.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
            )
            processor = processor_class.from_pretrained(folder, local_files_only=True)
    except MemoryError:
        raise
    except Exception as error:  # which one depends on which of the folder's files is missing or odd
        raise NotRun(f"{folder} is no {what} of transformers; run `fishlib weights fetch {fetch}`.") from error

    lacking = {*told["missing_keys"], *(entry[0] for entry in told.get("mismatched_keys", ()))}
    if lacking:  # transformers fills in random numbers and goes on
        raise NotRun(f"{folder} lacks {len(lacking)} weights of {what}; run `fishlib weights fetch {fetch}`.")
    return model.eval(), processor
