"""What captions and first lines say of a run."""

import html
import re

from fishlib.beyond import backgrounds as asking
from fishlib.naming import checkpoints, inference
from fishlib.removal import segmenters
from fishlib.study import Study


def facts(study: Study) -> dict:
    """What captions say of the run."""
    return {"drawn": study.drawn, "method": cutter(study, study.method), "photos": study.photos.name}


def cutter(study: Study, method: str) -> str:
    """A method as tables show it: a stand-in is called one."""
    return segmenters.label(method, study.profile.segmenters.get(method, {}))


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


def backgrounds(study: Study) -> dict:
    """What captions of the questions about backgrounds say of the run: whose masks, and which network was asked."""
    return inside(asking.cutter(study))


def inside(study: Study) -> dict:
    """What captions of masks inside the network and of fusions say of the run: which network it is."""
    network = checkpoints.describe(asking.source(study), study.profile.backbone)
    return facts(study) | {"classifier": network}


def well_cut(study: Study) -> str:
    """What table 1 of this run calls well cut."""
    if study.masks is None:
        return "Well cut: as judged by eye, most of those who said good or bad."
    return f"Well cut: IoU with the true mask at least {study.profile.good_iou}."


def banner(study: Study) -> str:
    """What this run works on, as Markdown. The photos by their folder's name: a notebook may be shown to others."""
    what = "**Drawn fish, not photographs**: they show that the machinery works, nothing about real fish. "
    photos = what if study.drawn else f"Photos: {code(study.photos.name)}. "
    profile = study.profile
    return (
        f"{photos}Masks of: **{escaped(facts(study)['method'])}**. Profile: {code(profile.name)}, seed {profile.seed}."
    )


def code(text: str) -> str:
    """Inline code of Markdown that says this text, whatever it holds."""
    plain = " ".join(text.split()).replace("`", "'")  # a backtick would end what is shown as it is
    return f"`{plain}`"


def escaped(text: str) -> str:
    """Markdown that says this text, whatever it holds."""
    plain = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"[\\`*_\[\]|~$]", r"\\\g<0>", plain)
