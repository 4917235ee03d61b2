"""Which public checkpoints a profile needs, and how much of them: what `fishlib weights fetch --profile` fetches."""

from typing import NamedTuple

from fishlib import weights
from fishlib.naming.checkpoints import IMAGENET_FILES, of_profile, parted
from fishlib.profiles import Profile
from fishlib.removal import segmenters


class Needs(NamedTuple):
    """names: of the weights' manifest, in the order of use. memory: bytes of the weights that are in memory together
    where that is most; a run needs more than that."""

    names: list[str]
    memory: int


def of(profile: Profile) -> Needs:
    """What a run of the profile takes from the manifest; files of the user's own and the zoo's are not among it."""
    known = weights.manifest()
    together = []  # names that are in memory at the same time
    for method in dict.fromkeys([*profile.compare, profile.method]):
        wanted = segmenters.needs(method, profile.segmenters.get(method)).values()
        together.append([name for name in wanted if name in known])
    for source in of_profile(profile).values():
        backbone, pretrained_on = parted(source, profile.backbone)
        if pretrained_on == "imagenet" and backbone in IMAGENET_FILES:
            together.append([IMAGENET_FILES[backbone]])

    names = list(dict.fromkeys(name for group in together for name in group))
    memory = max((sum(map(known_bytes, group)) for group in together), default=0)
    return Needs(names, memory)


def missing(profile: Profile) -> list[str]:
    """Those of the manifest's names that a run of the profile takes and that are not here, or not whole."""
    return [name for name in of(profile).names if not all(row["present"] for row in weights.list_(name))]


def known_bytes(name: str) -> int:
    """Bytes of a checkpoint's files, those of unknown size left out."""
    return sum(row["size"] or 0 for row in weights.list_(name))


def text(source: str, needs: Needs) -> str:
    """What a person is told before anything is fetched for the profile of that name or file."""
    if not needs.names:
        return f"The profile {source} needs no checkpoint; what it takes comes with the package."

    rows = [row for name in needs.names for row in weights.list_(name)]
    missing = [row for row in rows if not row["present"]]
    lines = [f"The profile {source} needs {', '.join(needs.names)}."]
    if missing:
        amount = sum(row["size"] or 0 for row in missing) / 1e9
        unknown = list(dict.fromkeys(row["name"] for row in missing if row["size"] is None))
        more = f", and files of {', '.join(unknown)} whose size is not known" if unknown else ""
        lines.append(f"To fetch: {amount:.2f} GB{more}.")
    else:
        lines.append("All of it is here.")
    lines.append(f"Memory: more than {needs.memory / 1e9:.1f} GB, the weights that are used together.")
    gated = weights.access(list(dict.fromkeys(row["name"] for row in missing)))
    if gated:
        lines.append(f"First{gated.removeprefix(';')}.")
    return "\n".join(lines)
