"""Records written in bulk are those that TensorBoard's own writer writes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from torch.utils.tensorboard import SummaryWriter

from descentlab.runs.event_records import scalar_records


def parse(data):
    """Read records one by one, with TensorBoard's checksum and protobuf's parser."""
    found = []
    while data:
        length = int.from_bytes(data[:8], "little")
        assert int.from_bytes(data[8:12], "little") == masked_crc32c(data[:8])
        body, data = data[12 : 12 + length], data[12 + length :]
        assert int.from_bytes(data[:4], "little") == masked_crc32c(body)
        data = data[4:]
        found.append(Event.FromString(body))
    return found


@settings(deadline=None, max_examples=60)
@given(
    tag=st.text("abcdefghij/_-é", min_size=1, max_size=40),
    values=st.lists(st.floats(width=32), min_size=1, max_size=20),
    first_step=st.integers(0, 2**35 - 30),
    wall_time=st.floats(0, 4e9),
)
def test_records_are_read_back(tag, values, first_step, wall_time):
    array = np.array(values, np.float32)
    events = parse(scalar_records(tag, array, first_step, wall_time))
    assert [event.step for event in events] == list(range(first_step, first_step + len(values)))
    assert {event.wall_time for event in events} == {wall_time}
    assert {value.tag for event in events for value in event.summary.value} == {tag}
    read = np.array([event.summary.value[0].simple_value for event in events], np.float32)
    assert read.tobytes() == array.tobytes() or (np.isnan(read) == np.isnan(array)).all()


def test_a_changed_byte_is_seen():
    data = bytearray(scalar_records("loss", np.ones(3, np.float32), 5, 1.0))
    data[40] ^= 1
    with pytest.raises(AssertionError):
        parse(bytes(data))


def test_tensorboard_reads_them_beside_its_own(tmp_path):
    writer = SummaryWriter(tmp_path)
    writer.add_scalar("own", 1.5, 0)
    writer.flush()
    values = torch.arange(300).float()
    path = next(tmp_path.glob("events*"))
    with path.open("ab") as file:
        file.write(scalar_records("loss/batch", values.numpy(), 7, 1e9))
    writer.add_scalar("own", 2.5, 1)
    writer.close()
    read = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert [(p.step, p.value) for p in read.Scalars("own")] == [(0, 1.5), (1, 2.5)]
    found = [(p.step, p.value) for p in read.Scalars("loss/batch")]
    assert found == [(7 + k, float(k)) for k in range(300)]
