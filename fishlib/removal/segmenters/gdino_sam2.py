"""GDINO-SAM 2: the paper's proposal with SAM 2.1 or EdgeTAM in SAM's place; the same boxes, the same adjustment."""

from functools import cached_property

from fishlib.removal.segmenters import common, gdino_sam

DEFAULTS = {name: value for name, value in gdino_sam.DEFAULTS.items() if name != "sam"} | {
    "gdino": "swint_ogc",  # the zoo has no SAM 2 to go with its detector
    "sam2": "sam2_hiera_large",  # SAM 2.1's largest, as GDINO-SAM takes SAM's; or another of the manifest, a folder
}
LIMITS = gdino_sam.LIMITS


def build(params: dict, device: str = "cpu", offline: bool = True) -> "GdinoSam2":
    """params: any of DEFAULTS. UserError for another name, NotRun where a checkpoint is missing."""
    own = gdino_sam.STAND_IN if params.get("gdino") == "zoo" else {}
    return GdinoSam2(common.options("gdino-sam2", DEFAULTS | own, params, LIMITS), device, offline)


def needs(options: dict) -> dict[str, str]:
    """As gdino_sam.needs."""
    return gdino_sam.needs(options, GdinoSam2.masks_from)


class GdinoSam2(gdino_sam.GdinoSam):
    """See GdinoSam."""

    method = "gdino-sam2"
    masks_from = "sam2"

    @cached_property
    def masker(self):
        from fishlib.removal.segmenters import sam2

        return sam2
