"""Which metric a callback looks at."""


def check_monitor(monitor: str, names: list[str]) -> None:
    """Refuse the name of a metric that no epoch records."""
    if monitor not in names:
        needs = "; give fit a validation" if monitor.removeprefix("val_") in names else ""
        raise ValueError(f"monitor: got {monitor!r}, want one of {names}{needs}")
