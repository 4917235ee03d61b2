"""The wheel also holds the notebooks, as fishlib/notebooks; all else is said in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["fishlib*"]), "fishlib.notebooks"],
    package_dir={"fishlib.notebooks": "notebooks"},
)
