"""A GPU where there is none: tensors that say ``cuda``, ``mps`` or ``maia``, their values in the host's memory.

Whatever the library, play and training do on a GPU runs here, with its values, so that mistakes show which otherwise
only a GPU would show: tensors or generators of two devices in one operation, a host that waits where it must not, a
capture of what cannot be captured. ``torch.FakeTensorMode`` knows the first of these, but no values: a dream that ends,
a threshold, a frame on its way to the window stop it. Operations that torch lacks on a GPU are not found here.

Gradients are for ``maia`` alone, a type of device that torch treats like a GPU: on the others it computes none unless
it finds a driver. A captured graph is the list of its operations, which a replay makes again into the same memory.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from diamond_engine.runtime import Runtime

NUMBERS = {"cuda": 1, "maia": 8, "mps": 13, "privateuseone": 20}
"""Of c10's types of devices."""
GUARDS = "_ZN3c104impl26device_guard_impl_registryE"
"""What torch asks to make a device the current one, by type; in libc10."""
WAITING = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "multinomial",
    "_unique2",
    "unique_dim",
    "bincount",
    "equal",
)
"""Operations that make the host wait for a GPU, by themselves or by what they ask of their input."""
GATES = ("_thnn_fused_lstm_cell", "_thnn_fused_lstm_cell_backward_impl")
"""Operations that torch has for GPUs only."""
INDEXING = ("index", "index_put_", "index_put", "_index_put_impl_")


class OnDevice(Tensor):
    """A tensor of the pretended device."""

    value: Tensor
    """Its values; views of it share memory with those of their base."""

    @staticmethod
    def __new__(cls: type[OnDevice], value: Tensor, device: torch.device) -> OnDevice:
        made = Tensor._make_wrapper_subclass(
            cls,
            value.shape,
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            device=device,
        )
        made.value = value
        return made

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({self.value!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()  # torch's own refuses subclasses

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return PretendedDevice.present().run(func, args, kwargs or {})


@dataclass
class Operation:
    """Something captured."""

    func: Callable[..., Any]
    args: Any
    kwargs: Any
    made: list[Any]
    """What it returned, flat."""

    def again(self) -> None:
        """Makes it into the same memory."""
        for old, new in zip(self.made, tree_flatten(self.func(*self.args, **self.kwargs))[0], strict=True):
            if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                old.copy_(new)


class Graph:
    """Stands in for ``torch.cuda.CUDAGraph``."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.generators: list[torch.Generator] = []
        self.replays = 0

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.generators.append(generator)

    def replay(self) -> None:
        self.replays += 1
        with torch.no_grad():
            for operation in self.operations:
                operation.again()


class PretendedDevice:
    """The rules of the device, for all threads; within ``entered`` torch believes that there is one."""

    _present: PretendedDevice | None = None

    def __init__(self, kind: str = "cuda", capability: tuple[int, int] = (9, 0)) -> None:
        self.device = torch.device(kind, 0)
        self.capability = capability
        self.waits: list[str] = []
        """Operations that made the host wait, since the beginning."""
        self.graphs: list[Graph] = []
        """All that was captured."""
        self._generators: list[torch.Generator] = []
        self._captured: Graph | None = None
        self._may_wait = True
        self._lock = threading.RLock()

    @classmethod
    def present(cls) -> PretendedDevice:
        assert cls._present is not None, "a tensor of a pretended device outlived it"
        return cls._present

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Within the context, making the host wait raises."""
        self._may_wait = False
        try:
            yield
        finally:
            self._may_wait = True

    def generator(self, seed: int) -> torch.Generator:
        """One of the device: it draws what one of the CPU draws."""
        self._generators.append(torch.Generator().manual_seed(seed))
        return self._generators[-1]

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An operation on tensors of which some are of the device."""
        with self._lock:
            name = func.overloadpacket.__name__
            leaves, tree = tree_flatten((args, kwargs))
            tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
            mine = {id(tensor.value): tensor for tensor in tensors if isinstance(tensor, OnDevice)}
            goal = torch.device(kwargs.get("device") or (self.device if mine else "cpu"))
            self._check(name, args, leaves, tensors, goal)
            values = tree_unflatten([leaf.value if isinstance(leaf, OnDevice) else leaf for leaf in leaves], tree)
            if "device" in kwargs:
                values[1]["device"] = torch.device("cpu")
            func = {GATES[0]: lstm_cell, GATES[1]: lstm_cell_backward}.get(name, func)
            result = func(*values[0], **values[1])
            if self._captured is not None:
                self._captured.operations.append(Operation(func, *values, tree_flatten(result)[0]))
            known = {id(tensor): tensor for tensor in tensors} | mine  # what is made in place stays what it is
            if isinstance(result, Tensor):
                return self._placed(result, known, goal)
            return tree_map(lambda leaf: self._placed(leaf, known, goal), result)

    def _placed(self, result: Any, known: dict[int, Tensor], goal: torch.device) -> Any:
        if not isinstance(result, Tensor) or isinstance(result, OnDevice):
            return result
        if id(result) in known:
            assert known[id(result)].shape == result.shape, "an operation that changes a shape in place is not known"
            return known[id(result)]
        return result if goal.type == "cpu" else self.placed(result)

    def placed(self, value: Tensor) -> OnDevice:
        """A tensor of the device with this memory."""
        if self.device.type == "mps" and value.dtype == torch.float64:
            raise TypeError("MPS has no float64")
        return OnDevice(value, self.device)

    def _check(self, name: str, args: Any, leaves: list[Any], tensors: list[Tensor], goal: torch.device) -> None:
        """Raises for what the device would refuse, or must not be asked now."""
        generators = [leaf for leaf in leaves if isinstance(leaf, torch.Generator)]
        if any(one._cdata not in {known._cdata for known in self._generators} for one in generators):
            raise RuntimeError(f"{name} on {self.device} was given a generator of another device")
        captured = {known._cdata for known in self._captured.generators} if self._captured else set()
        if self._captured is not None and any(one._cdata not in captured for one in generators):
            raise RuntimeError(f"{name} draws from a generator that the graph does not know")
        foreign = [tensor for tensor in tensors if not isinstance(tensor, OnDevice)]
        if name in ("copy_", "_to_copy"):
            down = goal.type == "cpu" or not isinstance(tensors[0], OnDevice)
            self._moves(name, down, bool(foreign) and len(tensors) + (name == "_to_copy") > 1)
        elif name in INDEXING:
            masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
            self._moves(
                name, bool(masks), any(index is not None and not isinstance(index, OnDevice) for index in args[1])
            )
            foreign = [tensor for tensor in foreign if all(tensor is not index for index in args[1])]
        elif name in WAITING:
            self._moves(name, True, False)
        if name not in ("copy_", "_to_copy") and any(tensor.ndim for tensor in foreign):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, found {self.device} and cpu")

    def _moves(self, name: str, down: bool, up: bool) -> None:
        """Notes that the host waits, where values come ``down`` to it; refuses this, and ``up``, in a capture."""
        if self._captured is not None and (down or up):
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        if down:
            self.waits.append(name)
            if not self._may_wait:
                raise RuntimeError(f"{name} makes the host wait for the device")

    @contextmanager
    def _capturing(self, graph: Graph, **_: Any) -> Iterator[None]:
        self._captured = graph
        try:
            yield
            self.graphs.append(graph)
        finally:
            self._captured = None

    def _wait(self, *_: Any) -> None:
        self._moves("synchronize", True, False)

    @contextmanager
    def entered(self) -> Iterator[PretendedDevice]:
        """Within the context torch says that there is such a device, and works on it. Gradients take one thread."""
        assert PretendedDevice._present is None
        library, kind = torch.library.Library("aten", "IMPL"), self.device.type

        def empty(size: Any, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
            return self.placed(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))

        def empty_strided(size: Any, stride: Any, dtype: Any = None, **_: Any) -> Tensor:
            return self.placed(torch.empty_strided(size, stride, dtype=dtype))

        def arange(*bounds: Any, dtype: Any = None, **_: Any) -> Tensor:
            return self.placed(torch.arange(*bounds, dtype=dtype))

        guards = (ctypes.c_void_p * 21).in_dll(ctypes.CDLL(str(C10)), GUARDS)
        own, others = NUMBERS[kind], NUMBERS["privateuseone"]  # for which alone torch takes guards written in Python
        before, lifted = (guards[own], guards[others]), torch._C._only_lift_cpu_tensors()
        with ExitStack() as stack:
            for target, replacement in self._replacements().items():
                stack.enter_context(patch(target, replacement))
            stack.enter_context(patch.object(Runtime, "generator", lambda _, seed: self.generator(seed)))
            stack.enter_context(torch.autograd.set_multithreading_enabled(False))
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            torch._C._acc.register_python_privateuseone_device_guard(GUARD[kind])
            guards[own] = guards[others]
            torch._C._set_only_lift_cpu_tensors(True)
            library.impl("empty.memory_format", empty, kind.upper())
            library.impl("empty_strided", empty_strided, kind.upper())
            for name in ("arange", "arange.start", "arange.start_step"):
                library.impl(name, arange, kind.upper())
            PretendedDevice._present = self
            try:
                yield self
            finally:
                PretendedDevice._present = None
                library._destroy()
                torch._C._set_only_lift_cpu_tensors(lifted)
                guards[own], guards[others] = before

    def _replacements(self) -> dict[str, Any]:
        """What torch says of its devices."""
        always = {
            "torch.accelerator.current_accelerator": lambda check_available=False: torch.device(self.device.type),
            "torch.accelerator.current_stream": lambda device=None: Stream(self._captured is not None),
            "torch.nn.modules.rnn._VF.lstm": lstm,
            "torch.nn.Module._apply": moved,
        }
        if self.device.type == "mps":
            own = {"torch.backends.mps.is_available": lambda: True, "torch.mps.synchronize": self._wait}
            return {"torch.nn.functional.scaled_dot_product_attention": attention, **own, **always}
        if self.device.type == "maia":
            available = {"diamond_engine.runtime.devices.available_devices": lambda: ["maia", "cpu"]}
            return {"torch.optim.adam._device_dtype_check_for_fused": lambda parameter: None, **available, **always}
        properties = SimpleNamespace(name="Pretended GPU", major=self.capability[0], minor=self.capability[1])
        return {
            **always,
            "torch.version.cuda": "12.8",
            "torch.cuda._lazy_init": lambda: None,
            "torch.cuda.is_available": lambda: True,
            "torch.cuda.device_count": lambda: 1,
            "torch.cuda.current_device": lambda: 0,
            "torch.cuda.get_device_properties": lambda device=None: properties,
            "torch.cuda.get_device_capability": lambda device=None: self.capability,
            "torch.cuda.get_device_name": lambda device=None: properties.name,
            "torch.cuda.max_memory_allocated": lambda device=None: 1,
            "torch.cuda.synchronize": self._wait,
            "torch.cuda.Stream": lambda device=None: Stream(),
            "torch.cuda.current_stream": lambda device=None: Stream(),
            "torch.cuda.stream": nullcontext,
            "torch.cuda.device": nullcontext,
            "torch.cuda.CUDAGraph": Graph,
            "torch.cuda.graph": self._capturing,
        }


class Stream:
    """Stands in for ``torch.cuda.Stream``: everything happens in order."""

    def __init__(self, capturing: bool = False) -> None:
        self._capturing = capturing

    def is_capturing(self) -> bool:
        return self._capturing

    def wait_stream(self, other: Stream) -> None:
        pass


class Guard(torch._C._acc.DeviceGuard):
    """Makes a device the current one; there is one of each type."""

    def __init__(self, device: torch._C._autograd.DeviceType) -> None:
        super().__init__()
        self._type = device

    def type_(self) -> torch._C._autograd.DeviceType:
        return self._type


def moved(module: nn.Module, *arguments: Any, **options: Any) -> nn.Module:
    """``nn.Module._apply``: parameters stay themselves as they move, as they do to a GPU."""
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        return APPLY(module, *arguments, **options)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """``(…, P, D)`` each: torch's own looks for a kernel by the type of the device."""
    return (queries @ keys.mT / queries.shape[-1] ** 0.5).softmax(-1) @ values


def lstm(x: Tensor, state: tuple[Tensor, Tensor], weights: list[Tensor], *options: Any) -> tuple[Tensor, ...]:
    """``nn.LSTM`` of one layer, batch first, by its cell: torch's own looks for a kernel by the type of the device."""
    if not isinstance(x, OnDevice):
        return torch.lstm(x, state, weights, *options)
    hidden, cell = (half[0] for half in state)
    outputs = []
    for step in x.unbind(1):
        hidden, cell = torch.lstm_cell(step, (hidden, cell), *weights)
        outputs.append(hidden)
    return torch.stack(outputs, dim=1), hidden[None], cell[None]


def lstm_cell(inputs: Tensor, hidden: Tensor, cell: Tensor, *biases: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of an LSTM's four gates from both sides ``(B, 4D)``, the cell's state → both states, the gates."""
    sums = inputs + hidden + sum(bias for bias in biases if bias is not None)
    enter, forget, fresh, leave = sums.chunk(4, dim=1)
    gates = torch.cat((enter.sigmoid(), forget.sigmoid(), fresh.tanh(), leave.sigmoid()), dim=1)
    enter, forget, fresh, leave = gates.chunk(4, dim=1)
    state = forget * cell + enter * fresh
    return leave * state.tanh(), state, gates


def lstm_cell_backward(
    of_hidden: Tensor | None, of_state: Tensor | None, cell: Tensor, state: Tensor, gates: Tensor, has_bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of both states → those of the gates' sums, of the cell's state before, of the bias."""
    enter, forget, fresh, leave = gates.chunk(4, dim=1)
    bent = state.tanh()
    hidden = torch.zeros_like(state) if of_hidden is None else of_hidden
    after = hidden * leave * (1 - bent**2) + (0 if of_state is None else of_state)
    sums = torch.cat(
        (
            after * fresh * enter * (1 - enter),
            after * cell * forget * (1 - forget),
            after * enter * (1 - fresh**2),
            hidden * bent * leave * (1 - leave),
        ),
        dim=1,
    )
    return sums, after * forget, sums.sum(0) if has_bias else sums.new_empty(0)


GUARD = {
    "cuda": Guard(torch._C._autograd.DeviceType.CUDA),
    "mps": Guard(torch._C._autograd.DeviceType.MPS),
    "maia": Guard(torch._C._autograd.DeviceType.MAIA),
}
APPLY = nn.Module._apply
C10 = Path(torch.__file__).parent / "lib" / "libc10.so"
