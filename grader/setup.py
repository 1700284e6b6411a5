"""What pyproject.toml cannot say: this folder is the package `grader`, with every package below it."""

from setuptools import find_packages, setup

setup(
    package_dir={"grader": "."},
    packages=["grader", *(f"grader.{name}" for name in find_packages("."))],
)
