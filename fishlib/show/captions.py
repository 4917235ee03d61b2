"""What captions and first lines say of a run."""

from fishlib.naming import checkpoints, inference
from fishlib.removal import segmenters
from fishlib.study import Study


def facts(study: Study) -> dict:
    """What captions say of the run."""
    method = segmenters.label(study.method, study.profile.segmenters.get(study.method, {}))
    return {"drawn": study.drawn, "method": method, "photos": study.photos.name}


def named_by(study: Study) -> dict:
    """What captions of tables 2 to 4 say of the run: who named the fish as well."""
    return facts(study) | {"classifier": inference.judge(study)}


def trained(study: Study) -> dict:
    """What captions of figure 3 say of the run: which networks, and what of them was trained, as well."""
    settings = study.profile.transfer
    what = f"whole network, {settings.whole.epochs} epochs" if settings.tune == "all" else "only the new last layer"
    sources = checkpoints.pretrainings(study).values()
    networks = dict.fromkeys(checkpoints.network(source, study.profile.backbone) for source in sources)
    return facts(study) | {"classifier": f"{', '.join(networks)}, trained: {what}"}


def banner(study: Study) -> str:
    """What this run works on, as Markdown."""
    what = "**Drawn fish, not photographs**: they show that the machinery works, nothing about real fish. "
    shown = str(study.photos).replace("`", "'")  # which would end what is shown as it is
    photos = what if study.drawn else f"Photos: `{shown}`. "
    return (
        f"{photos}Masks of: **{facts(study)['method']}**. Profile: `{study.profile.name}`, seed {study.profile.seed}."
    )
