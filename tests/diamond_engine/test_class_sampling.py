"""Drawing a class."""

import torch

from diamond_engine.class_sampling import sample_class


def test_draws_what_multinomial_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((500, 5), generator=generator) * 3
    one, other = (torch.Generator().manual_seed(1) for _ in range(2))
    for _ in range(3):
        expected = torch.multinomial(logits.softmax(dim=1), 1, generator=other).squeeze(1)
        assert torch.equal(sample_class(logits, one), expected)


def test_follows_the_chances() -> None:
    chances = torch.tensor([0.1, 0.0, 0.6, 0.3])
    drawn = sample_class(chances.log().expand(20_000, -1), torch.Generator().manual_seed(0))
    shares = drawn.bincount(minlength=4) / len(drawn)
    torch.testing.assert_close(shares, chances, atol=0.015, rtol=0)
    assert shares[1] == 0


def test_takes_low_precision() -> None:
    logits = torch.tensor([[0.0, 90.0, 0.0]], dtype=torch.bfloat16)
    assert sample_class(logits, None).tolist() == [1]
