"""What the worker's settings say about records, as the core needs it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds and choices that hold for every batch. `partitions`: of each input topic; `repeats_are_conflicts`: whether
    an identical observation sent again is refused instead of passed over; `schema_registry_frames`: whether the five
    bytes that a schema registry puts before JSON are accepted."""

    partitions: int
    event_bytes_max: int
    dead_letter_bytes_max: int
    include_observation: bool
    cloudevents: bool
    repeats_are_conflicts: bool
    join_window_ms: int
    schema_registry_frames: bool = False
