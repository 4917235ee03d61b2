"""A measured ratio as a row of runs/bench.json."""

import operator

SIGNS = {"<=": operator.le, ">=": operator.ge}


def row(name: str, value: float, target: str, how: str) -> dict:
    """target is a sign and a number, such as "<= 0.1"; `holds` follows from it."""
    sign, bound = target.split()
    holds = bool(SIGNS[sign](value, float(bound)))
    return {"name": name, "value": round(float(value), 5), "target": target, "holds": holds, "how": how}
