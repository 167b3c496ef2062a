"""Private interfaces of TensorBoard that the project relies on.

`_AsyncWriterThread` (`writes_events`): the thread of which no traceback is printed; without it a
full disk prints one.

For speed alone, off with `DESCENTLAB_PLAIN=1`; without it each value goes through `add_scalar`:

- `_general_file_writer`, the file of a SummaryWriter (`write_records`): 40 to 70 µs a value.

It is written to only where it is TensorBoard's own stub, of which each write opens the
file, appends and closes it. With TensorFlow installed the file is TensorFlow's, which has a buffer
and an offset of its own.
"""

import io
from typing import Any

from PIL import Image

from . import SPEED_TRICKS

_STUB = "tensorboard.compat.tensorflow_stub."


def writes_events(thread: Any) -> bool:
    """Return whether a thread is the one of TensorBoard that writes events into a file.

    An error of it is raised where the next event is given to it, or the file is closed.
    """
    return type(thread).__name__ == "_AsyncWriterThread"


def write_records(writer: Any, records: bytes) -> bool:
    """Write finished records to the event file of a SummaryWriter, if that can be done safely.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`.
        records: whole records, as `scalar_records` makes them.

    Returns:
        Whether they were written; if not, the file is as it was.
    """
    events = getattr(writer.file_writer, "event_writer", None)
    file: Any = getattr(events, "_general_file_writer", None)
    if not SPEED_TRICKS or not type(file).__module__.startswith(_STUB):
        return False
    writer.flush()  # so that what was given to it before is in the file before
    file.write(records)
    file.flush()
    return True


def add_png(writer: Any, tag: str, png: bytes, step: int) -> None:
    """Show a PNG as it is, which `SummaryWriter.add_image` would decode and encode anew.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`.
        tag: of the image.
        png: the content of a PNG file.
        step: of the trainer.
    """
    # loaded by the writer already; without one, TensorBoard would be a twentieth of the start-up
    from tensorboard.compat.proto.summary_pb2 import Summary

    with Image.open(io.BytesIO(png)) as picture:
        (width, height), bands = picture.size, len(picture.getbands())
    image = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=bands)
    summary = Summary(value=[Summary.Value(tag=tag, image=image)])
    writer.file_writer.add_summary(summary, step)
