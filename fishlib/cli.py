"""The fishlib command. Heavy imports wait until a command needs them, so that --help answers at once."""

import errno
import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from fishlib.errors import UserError

app = typer.Typer(
    help="Does removing the background help a model name the fish?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _say_version(asked: bool) -> None:
    if asked:
        import fishlib

        typer.echo(f"fishlib {fishlib.__version__}")
        raise typer.Exit


@app.callback()
def fishlib_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Does removing the background help a model name the fish?"""


Out = Annotated[Path, typer.Option(help="Run folder; a run that was stopped goes on there.")]


@app.command()
def reproduce(
    profile: Annotated[str, typer.Option(help="demo, paper, or a YAML file of parameters.")] = "demo",
    photos: Annotated[Path | None, typer.Option(help="Your photos: one subfolder a species.")] = None,
    masks: Annotated[Path | None, typer.Option(help="True masks (PNG tree or COCO JSON); they only score.")] = None,
    method: Annotated[
        str | None, typer.Option(help="Whose masks tables 2 to 4 and figure 3 use; module:function is one of your own.")
    ] = None,
    classifier: Annotated[str | None, typer.Option(help="Checkpoint that knows the species, or zoo (drawn).")] = None,
    out: Out = Path("runs/demo"),
    only: Annotated[str | None, typer.Option(help="Run one notebook, such as 02.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Touch no network.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run of other inputs.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Execute notebooks whose inputs have not changed.")] = False,
) -> None:
    """Run the study's notebooks and write tables, figures and the report."""
    from fishlib import profiles, run
    from fishlib.removal.segmenters import own

    index = run.reproduce(
        only=only,
        overwrite=overwrite,
        force=force,
        out=_absolute(out),
        profile=profile if profile in profiles.names() else _absolute(Path(profile)),
        photos=_absolute(photos),
        masks=_absolute(masks),
        method=own.absolute(method),
        classifier=classifier if classifier in (None, "zoo") else _absolute(Path(classifier)),
        offline=offline,
        device=device,
    )
    typer.echo(f"The report: {index}")


@app.command()
def cut(
    paths: Annotated[list[Path], typer.Argument(help="Photos or folders of photos.")],
    out: Annotated[Path, typer.Option(help="Folder for cut-outs, masks/ and index.csv.")],
    method: Annotated[
        str,
        typer.Option(
            help="gdino-sam, sam-clip, detic, gdino-sam2, sam3, rembg, grabcut, or module:function of your own."
        ),
    ] = "gdino-sam",
    background: Annotated[str, typer.Option(help="black, white, transparent or #rrggbb.")] = "black",
    crop: Annotated[bool, typer.Option("--crop", help="Cut to the detected box.")] = False,
    dilate: Annotated[int, typer.Option(help="Dilate the mask so often (3 x 3 at 640 px).")] = 0,
    profile: Annotated[str, typer.Option(help="Whose parameters of the method: demo, paper, or a YAML file.")] = "demo",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace cut-outs of other settings.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Touch no network.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Remove the background of any photos; run again, it goes on where it was stopped."""
    from fishlib import profiles
    from fishlib.removal import cut as cutting
    from fishlib.removal.segmenters import own

    method = own.named(method)
    params = profiles.load(profile).segmenters.get(method)
    done = cutting.cut(paths, out, method, background, crop, dilate, params, device, offline, overwrite)
    counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in done.counts.items())
    typer.echo(f"{counts}; see {out / 'index.csv'}")
    if done.failed:
        first = done.failed[0]
        said = f"{len(done.failed)} of {done.counts['photos']} could not be cut; mend them and run again"
        typer.echo(f"fishlib: {said} (first: {first['path']}: {first['reason']}).", err=True)
        raise typer.Exit(1)


Sharded = Annotated[Path, typer.Option("--run", help="A run folder that notebook 01 has run in.")]
Share = Annotated[str, typer.Option("--shard", help="This machine's share, such as 3/16; all of it without.")]


@app.command()
def segment(
    run: Sharded,
    shard: Share = "1/1",
    method: Annotated[list[str] | None, typer.Option(help="Again for more; all of the run's without.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Touch no network.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Segment a share of a run's photos, on one of several machines; `reproduce` finds what each of them did."""
    from fishlib import opening
    from fishlib.files import shards
    from fishlib.photos import manifest
    from fishlib.removal import segmenting

    share = shards.parse(shard)
    study = opening.reopen(run, offline=offline, device=device)
    photos = manifest.curated(study)
    failed = []
    for name in method or dict.fromkeys([*study.profile.compare, study.method]):
        try:
            counts = segmenting.fill(study, name, photos, share)
        except UserError as error:
            failed.append(name)
            typer.echo(f"fishlib: {name} was not run: {error}", err=True)
            continue
        typer.echo(f"{name}: {_counted(counts)}")
    if failed:
        raise typer.Exit(1)


@app.command()
def features(
    run: Sharded,
    shard: Share = "1/1",
    offline: Annotated[bool, typer.Option("--offline", help="Touch no network.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Compute a share of a run's features, on one of several machines; `reproduce` finds what each of them did."""
    from fishlib import opening
    from fishlib.files import shards
    from fishlib.naming import shares

    share = shards.parse(shard)
    study = opening.reopen(run, offline=offline, device=device)
    for source, counts in shares.fill(study, share):
        typer.echo(f"{source}: {_counted(counts)}")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items())


@app.command()
def pretrain(
    photos: Annotated[Path, typer.Option(help="Photos to learn from: one subfolder a species.")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write, .safetensors.")],
    backbone: Annotated[str, typer.Option(help="timm's name of the network.")] = "swin_tiny_patch4_window7_224",
    start: Annotated[str, typer.Option("--from", help="imagenet, none, or a checkpoint file.")] = "imagenet",
    epochs: Annotated[int | None, typer.Option(help="Rounds through the photos; the preset's without.")] = None,
    seed: Annotated[int, typer.Option(help="Of the held-out split and of the training.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Fine-tune a classifier on a folder of species; run again, it goes on after the last whole epoch."""
    from fishlib.naming import pretrain as training

    settings = {} if epochs is None else {"epochs": epochs}
    model = training.pretrain(photos, out, backbone, start, seed, device=device, **settings)
    typer.echo(f"{out}: {len(model.classes)} species; use it with `fishlib reproduce --classifier {out}`")
    changed = len(model.history.get("changed", {}))
    if changed:
        told = out.with_suffix(".photos.csv")
        typer.echo(f"{changed} photos changed after the scan and were left out; {told} names them.", err=True)
        raise typer.Exit(1)


@app.command()
def photos(
    out: Annotated[Path, typer.Option(help="Folder for the photos; a run that was stopped goes on there.")],
    names: Annotated[list[str] | None, typer.Argument(help="Species; the paper's 17 without.")] = None,
    species: Annotated[Path | None, typer.Option(help="Text file with a species a line.")] = None,
    listed: Annotated[Path | None, typer.Option("--from", help="CSV of species and url instead of services.")] = None,
    licence: Annotated[list[str] | None, typer.Option(help="Allowed (again for more); CC0, CC BY, CC BY-NC.")] = None,
    each: Annotated[int | None, typer.Option(help="Most photos a species; 100, with --from all.")] = None,
    per_observer: Annotated[int | None, typer.Option(help="Most a species and observer; 5, with --from all.")] = None,
    place: Annotated[str, typer.Option(help="Country, or a place of iNaturalist by name or number.")] = "",
    years: Annotated[str, typer.Option(help="Observed in 2020 or 2015-2024.")] = "",
    observed_after: Annotated[str, typer.Option(help="Observed after that day, as 2021-05-31.")] = "",
    size: Annotated[int, typer.Option(help="Longest side in pixels; larger photos are shrunk.")] = 1024,
    source: Annotated[list[str] | None, typer.Option(help="inaturalist or gbif; both without.")] = None,
) -> None:
    """Gather licensed public photos of the species, with authors and licences; one a second, as the services ask."""
    from fishlib.photos.gather import collect, options
    from fishlib.photos.gather.names import read_names

    everything = listed is not None
    wanted = options.checked(licence, each, per_observer, place, years, observed_after, size, everything)
    if listed is not None:
        if names or species or source or place:
            raise UserError("--from gathers the photos of its list; leave names, --species, --source and --place out.")
        result = collect.collect_listed(out, listed, wanted)
    else:
        asked = [*(names or []), *(read_names(species) if species else [])]
        result = collect.collect(out, asked, wanted, source)
    for note in result.notes:
        typer.echo(f"{note}.")
    counts = ", ".join(f"{n} {name}" for name, n in result.counts.items())
    typer.echo(f"{counts}; see {out / 'dataset.md'}")
    for sentence in result.unfinished:
        typer.echo(f"fishlib: {sentence}", err=True)
    if result.empty:
        typer.echo(f"fishlib: no photo of {len(result.empty)} species: {', '.join(result.empty)}.", err=True)
    if result.unfinished or result.empty:
        raise typer.Exit(1)


@app.command()
def name(
    photos: Annotated[list[Path], typer.Argument(help="Photos or folders of photos.")],
    out: Annotated[Path, typer.Option(help="Table to write, .csv: a row a photo.")],
    run: Annotated[Path | None, typer.Option(help="A finished run: its namer, in its own input.")] = None,
    classifier: Annotated[str | None, typer.Option(help="Or a checkpoint, which names photos as they are.")] = None,
    right: Annotated[int, typer.Option(help="Percent of the names not to be checked that shall be right.")] = 95,
    unknown: Annotated[float | None, typer.Option(help="Score from which on a photo may be none of these.")] = None,
    profile: Annotated[str, typer.Option(help="With --classifier: whose parameters; demo, paper, or a file.")] = "demo",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a table of other names.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Touch no network.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Name new photos, and say which a person must check; run again, it goes on where it was stopped."""
    from fishlib.beyond import new_photos

    if (run is None) == (classifier is None):
        raise UserError("Who names the photos? Give one of --run RUN and --classifier FILE.")
    if run is not None:
        who = new_photos.of_run(run, right, unknown, offline, device)
    else:
        who = new_photos.of_classifier(classifier, profile, unknown, offline, device)
    done = new_photos.name(photos, out, who, overwrite)
    typer.echo(new_photos.promised(who, right))
    typer.echo(", ".join(f"{n} {what}" for what, n in done.counts.items()) + f"; see {out}")
    if done.failed:
        first = done.failed[0]
        said = f"{len(done.failed)} of {done.counts['photos']} could not be named; mend them and run again"
        typer.echo(f"fishlib: {said} (first: {first['path']}: {first['reason']}).", err=True)
        raise typer.Exit(1)


weights_app = typer.Typer(help="Public checkpoints: list, fetch, verify.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")


@weights_app.command("list")
def weights_list() -> None:
    """What there is to fetch, what is here, and under which licence."""
    _say_weights("list_")


@weights_app.command("verify")
def weights_verify(name: Annotated[str | None, typer.Argument(help="One of the list; all without.")] = None) -> None:
    """Hash every file that is here; exit code 1 when one is wrong."""
    if "wrong" in _say_weights("verify", name):
        raise typer.Exit(1)


@weights_app.command("fetch")
def weights_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names of the list.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="What this profile needs, and nothing else: demo, paper, or a YAML file.")
    ] = None,
) -> None:
    """Download checkpoints; a download that was cut goes on where it stopped."""
    from fishlib import weights

    wanted = list(names or [])
    if profile is not None:
        from fishlib import profiles
        from fishlib.naming import needs

        needed = needs.of(profiles.load(profile))
        typer.echo(needs.text(profile, needed))
        wanted += needed.names
    elif not wanted:
        raise UserError("Say what to fetch: names of `fishlib weights list`, or --profile NAME.")

    refused = []
    for name in dict.fromkeys(wanted):
        try:
            typer.echo(f"{name}: {weights.fetch(name)}")
        except UserError as error:
            refused.append(error)
            typer.echo(f"fishlib: {error}", err=True)
    if refused:
        if len(wanted) > 1:
            typer.echo(f"fishlib: {len(refused)} of {len(set(wanted))} could not be fetched.", err=True)
        raise typer.Exit(2)


@weights_app.command("try")
def weights_try(
    names: Annotated[list[str] | None, typer.Argument(help="Names of the list, or zoo (the stand-ins).")] = None,
    every: Annotated[bool, typer.Option("--all", help="The stand-ins, and all of the list that are here.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Ask models about drawn fish whose masks are exact: are they as they should be on this machine?"""
    from fishlib.removal import first_contact

    met, not_run = first_contact.meet_all(names or [], every, device)
    if met:
        typer.echo(first_contact.table(met).to_string(float_format="%.2f"))
    for name, seen in met.items():
        typer.echo(f"{name}: {seen['said']}")
    for sentence in not_run:
        typer.echo(f"fishlib: {sentence}", err=True)
    if any(seen["hints"] for seen in met.values()) or not_run:
        raise typer.Exit(1)


def _say_weights(function: str, *given) -> set[str]:
    from fishlib import weights

    rows = getattr(weights, function)(*given)
    for row in rows:
        size = f"{row['size'] / 1e6:,.0f} MB" if row["size"] else "size unknown"
        typer.echo(f"{row['name']:<26} {row['status']:<14} {size:>12}  {row['licence']:<12} {row['for']}")
        typer.echo(f"{'':<26} {row['path']}")
    for name in dict.fromkeys(row["name"] for row in rows if row["gated"]):
        typer.echo(weights.access([name]).removeprefix("; ") + ".")
    return {row["status"] for row in rows}


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Build a run's report anew."""
    from fishlib.files import locks
    from fishlib.show import report as pages

    if not (run / "run.json").is_file():  # a folder that is no run is left as it is
        raise UserError(f"{run} holds no run.json, so no finished run; `fishlib reproduce --out {run}` makes one.")
    with locks.held(run, "fishlib report"):
        typer.echo(f"The report: {pages.build(run)}")


@app.command()
def advise(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    shots: Annotated[int | None, typer.Option(help="Which input to learn from, with so many photos a species.")] = None,
) -> None:
    """Does removing the background help? The answer of a run, what it rests on and what would change it."""
    from fishlib.beyond import evidence, verdict
    from fishlib.show import report as pages

    found = evidence.of(pages.look(run))
    for note in found.notes:
        typer.echo(f"fishlib: {note}", err=True)
    answer = found.verdict if shots is None else found.choices.get(shots)
    if shots is not None and answer is None:
        known = ", ".join(map(str, found.choices)) or "none; run notebooks 04 and 05"
        raise UserError(f"This run learnt from no {shots} photos a species; K is one of {known}.")
    if answer is None:
        raise typer.Exit(1)
    typer.echo(verdict.text(answer), nl=False)


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="A run folder.")],
    run_b: Annotated[Path, typer.Argument(help="Another, with some of the same photos.")],
    page: Annotated[Path | None, typer.Option(help="Write it as a page too, with every photo: FILE.html.")] = None,
) -> None:
    """What changed from one run to another: photos, answers about the same photos, tables, the verdict."""
    from fishlib.beyond import compare as comparing
    from fishlib.show import report as pages

    a, b = pages.look(run_a), pages.look(run_b)
    found = comparing.runs(a, b)
    typer.echo(comparing.text(found), nl=False)
    if page is not None:
        from fishlib.show import comparison

        typer.echo(f"The page: {comparison.write(found, a, b, page.expanduser().resolve())}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    form: Annotated[str, typer.Option("--as", help="coco (annotation tools) or folder (images, masks, card).")],
    method: Annotated[str | None, typer.Option(help="Whose masks; the run's own without.")] = None,
    outlines: Annotated[str, typer.Option(help="For coco: rle, exact, or polygon.")] = "rle",
    out: Annotated[Path | None, typer.Option(help="Folder to write; RUN/export without.")] = None,
) -> None:
    """Photos, boxes and masks of a run for other programs; corrected masks come back by reproduce --masks."""
    from fishlib import opening
    from fishlib.show import export as exporting

    study = opening.reopen(run.expanduser().resolve())
    target = out.expanduser().resolve() if out else study.out / "export"
    counts = exporting.export(study, form, target, method, outlines)
    typer.echo(", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items()) + f"; see {target}")
    if counts.get("unreadable"):
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Say what this machine offers: versions, devices, what is missing."""
    from fishlib import doctor as checks

    for line in checks.lines():
        typer.echo(line)


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 2, no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a console of another encoding shows escapes
    try:
        app()
    except UserError as error:
        _stop(str(error), 2)
    except KeyboardInterrupt as stopped:
        _stop(_where_stopped(stopped), 130)
    except SystemExit as ended:
        stopped = getattr(ended.__context__, "__cause__", None)  # Typer makes an exit of it, and says nothing
        if not isinstance(stopped, KeyboardInterrupt):
            raise
        _stop(_where_stopped(stopped), 130)
    except MemoryError:
        _stop("memory ran out; close other programs, the same command then goes on where this one stopped.", 2)
    except OSError as error:  # a full disk, a folder that went away
        _stop(_about_a_file(error), 2)


def _stop(sentence: str, code: int) -> None:
    typer.echo(f"fishlib: {sentence}", err=True)
    sys.exit(code)


def _where_stopped(stopped: KeyboardInterrupt) -> str:
    """What to say of a stop by hand: how far it came, where that is known, and how to go on."""
    where = f" at {stopped}" if str(stopped) else ""
    return f"stopped{where}; the same command goes on where this one ended."


def _about_a_file(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; make room, the same command then goes on where this one stopped."
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; mend that, the same command then goes on."


def _absolute(path: Path | None) -> str | None:
    # notebooks run in their own folder, so what was relative to the user's must become absolute here
    return None if path is None else str(path.expanduser().resolve())


if __name__ == "__main__":
    main()
