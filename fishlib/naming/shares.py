"""A share of all features that notebooks 03 and 04 ask for, for one of several machines (see files.shards)."""

from collections.abc import Iterator

from fishlib.errors import NotRun, UserError
from fishlib.files.shards import Shard
from fishlib.naming import checkpoints, features, inference, sweep
from fishlib.photos.manifest import curated
from fishlib.removal import segments
from fishlib.study import Study


def fill(study: Study, shard: Shard) -> Iterator[tuple[str, dict[str, int]]]:
    """Fill the run's cache with the shard's blocks; yields (name of a network, pictures computed and reused).

    Raises UserError where notebooks 01 and 02 have not run for the study's method. A network that is not here is
    passed over where it is one of figure 3's, which goes on without it; its counts are then empty.
    """
    manifest = curated(study)
    index = segments.folder(study, study.method) / segments.INDEX
    if not index.is_file():
        raise UserError(f"{index} is missing; features need all masks: fishlib reproduce --only 02 puts them together.")
    found = segments.read_index(index)

    for photos, variants, source in inference.looked_at(study, manifest, found):
        yield checkpoints.short(source), features.fill(study, photos, found, variants, source, shard)
    for photos, variants, source in sweep.looked_at(study, manifest, found):
        try:
            yield checkpoints.short(source), features.fill(study, photos, found, variants, source, shard)
        except NotRun as error:
            yield f"{checkpoints.short(source)} did not run ({error})", {}
