"""Device and precision: what is chosen, and the copies of networks that run there."""

import pytest
import torch
from torch import nn

from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.networks.blocks import FourierFeatures
from diamond_engine.runtime import Runtime, available_devices, device_name

CPU = torch.device("cpu")


class TestRuntime:
    def test_auto_takes_the_best_device(self) -> None:
        assert available_devices()[-1] == "cpu"
        assert Runtime.choose().device.type == available_devices()[0]

    @pytest.mark.parametrize(
        ("name", "dtype"),
        [
            ("float32", torch.float32),
            ("fp32", torch.float32),
            ("bfloat16", torch.bfloat16),
            ("bf16", torch.bfloat16),
        ],
    )
    def test_names_of_dtypes(self, name: str, dtype: torch.dtype) -> None:
        runtime = Runtime.choose("cpu", name)
        assert runtime.dtype == dtype
        assert runtime.describe().startswith(f"{device_name(CPU)}, {runtime.dtype_name}")

    def test_unknown_names(self) -> None:
        with pytest.raises(UsageError, match="unknown device 'nonesuch'"):
            Runtime.choose("nonesuch")
        with pytest.raises(UsageError, match="unknown dtype 'int3'"):
            Runtime.choose("cpu", "int3")
        with pytest.raises(DiamondError, match=r"device 'xpu' is not available here: this machine has .*cpu"):
            Runtime.choose("xpu")

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_inference_copies(self, dtype: str) -> None:
        runtime = Runtime.choose("cpu", dtype)
        network = nn.Conv2d(3, 8, 3)
        copy = runtime.for_inference(network)
        assert copy.weight.dtype == runtime.dtype
        assert copy.weight.is_contiguous(memory_format=torch.channels_last)
        assert not copy.training
        assert not any(parameter.requires_grad for parameter in copy.parameters())
        assert network.training
        assert all(p.requires_grad and p.dtype == torch.float32 for p in network.parameters())

    def test_noise_levels_stay_in_float32(self) -> None:
        network = nn.Sequential(FourierFeatures(8), nn.Linear(8, 8))
        features, linear = Runtime.choose("cpu", "bfloat16").for_inference(network)
        assert features.weight.dtype == torch.float32
        assert linear.weight.dtype == torch.bfloat16

    def test_training_is_in_place_with_float32_weights(self) -> None:
        runtime = Runtime.choose("cpu", "bfloat16")
        network = nn.Linear(4, 4)
        assert runtime.for_training(network) is network
        assert network.weight.dtype == torch.float32
        with runtime.autocast():
            assert network(torch.ones(1, 4)).dtype == torch.bfloat16
        with Runtime.choose("cpu", "float32").autocast():
            assert network(torch.ones(1, 4)).dtype == torch.float32

    def test_generators_are_seeded(self) -> None:
        runtime = Runtime.choose("cpu")
        one, same, other = (torch.rand(4, generator=runtime.generator(seed)) for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
