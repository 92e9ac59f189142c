"""Errors that a user can act on. Every message says what was asked, what was found and what to do."""


class GeoconvnextError(Exception):
    """Root of all errors caused by input or environment; the command line prints it and exits with code 2."""


class SceneError(GeoconvnextError):
    """A scene cannot be read, or does not fit the network."""


class WeightsError(GeoconvnextError):
    """A weights file or checkpoint is foreign, damaged or does not match the network."""


class ConfigError(GeoconvnextError):
    """A configuration file has unknown, missing or invalid values."""


class LabelError(GeoconvnextError):
    """Reference footprints or labelled tiles cannot be used."""


class OutputError(GeoconvnextError):
    """A result cannot be written."""
