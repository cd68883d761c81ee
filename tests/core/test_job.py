import torch

from relight3d.core.job import Job, step_generator
from tests.pipeline.toy import ToyJob


def drawn(*key):
    return torch.rand(4, generator=step_generator(*key)).tolist()


def test_same_key_same_numbers():
    assert drawn(3, "fit", 7) == drawn(3, "fit", 7)


def test_every_part_of_the_key_counts():
    keys = [(3, "fit", 7), (4, "fit", 7), (3, "decompose", 7), (3, "fit", 8), (3, "fit/epoch", 7)]
    assert len({tuple(drawn(*key)) for key in keys}) == len(keys)


def test_neighbouring_steps_are_uncorrelated():
    first = torch.stack([torch.rand(8, generator=step_generator(0, "fit", k)) for k in range(400)])
    assert abs(float(first.mean()) - 0.5) < 0.02
    correlation = torch.corrcoef(torch.stack([first[:-1, 0], first[1:, 0]]))[0, 1]
    assert abs(float(correlation)) < 0.15


def test_large_seeds_are_taken():
    assert drawn(2**31 - 1, "fit", 0) != drawn(2**31 - 2, "fit", 0)


def test_the_protocol_is_checkable():
    assert isinstance(ToyJob(), Job)
    assert not isinstance(object(), Job)
