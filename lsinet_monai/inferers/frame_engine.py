"""The computations of a frame with one network: one by one on a CPU, as CUDA graphs on a GPU."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from itertools import chain
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

from lsinet_monai.inferers.bad_frames import leave_empty
from lsinet_monai.inferers.captured import CapturedCalls, TensorFunction
from lsinet_monai.inferers.cuts import SeenFrame, follow_scene
from lsinet_monai.inferers.frame_step import AmpDtype, encode_frames, segment_frame
from lsinet_monai.inferers.input_checks import check_frame_tensors, check_network
from lsinet_monai.inferers.memory_bank import MemoryBank
from lsinet_monai.inferers.refining import refine
from lsinet_monai.inferers.scale_memory import ScaleMemory
from lsinet_monai.networks import Features, LSINet
from lsinet_monai.networks.half_precision import halve_encoder, warn_of_slow_bfloat16
from lsinet_monai.networks.prompt_head import check_prompt_head

__all__ = ["FrameEngine", "FrameEngines"]


class FrameEngine:
    """Encode and segment frames with one network, by graphs where they are on a GPU.

    Args:
        network: in evaluation mode.
        amp_dtype: the type in which the encoder computes, see :meth:`LSINet.encode`; None for float32, and for a
            network whose encoder is in half precision already.
        calls: the captured functions of this network; None to capture none.
    """

    def __init__(self, network: LSINet, amp_dtype: AmpDtype | None, calls: CapturedCalls | None) -> None:
        self.network = network
        self.amp_dtype: AmpDtype | None = amp_dtype
        self._calls = calls

    def encode(self, frames: Sequence[Tensor]) -> list[Features]:
        """Encode frames in one pass: see :func:`encode_frames`.

        Raises:
            InputError: there are no frames, or their shapes differ. See also :meth:`LSINet.encode`.
        """
        if self._calls is None:
            return encode_frames(frames, self.network, self.amp_dtype)
        check_frame_tensors(frames)
        for frame in frames:
            self.network.check_frames(frame)

        def encode(*frames: Tensor) -> list[Tensor]:
            return list(chain(*self.network.encode(torch.cat(frames))))

        outputs = self._run("the encoder", None, encode, frames) or encode(*frames)
        kinds = (tuple(outputs[start : start + 3]) for start in range(0, 9, 3))
        return Features(*kinds).split(len(frames))

    def follow_scene(
        self, seen: SeenFrame, features: Sequence[Tensor], coarse: Sequence[Tensor], usable: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """Compare frames to find cuts: see :func:`follow_scene`."""
        count = len(features)

        def follow(features: Tensor, clarity: Tensor, *frames: Tensor) -> list[Tensor]:
            kinds = (frames[start : start + count] for start in (0, count, 2 * count))
            return follow_scene(SeenFrame(features, clarity), *kinds)

        inputs = [*seen, *features, *coarse, *usable]
        return self._run("the search for cuts", None, follow, inputs) or follow(*inputs)

    def see(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """Compute what :meth:`refine` needs of frames, each (B, 3, H, W): for each (B, 24, h, w), at stride 4.

        Raises:
            InputError: the network has no prompt head.
        """
        head = check_prompt_head(self.network.prompt_head)

        def see(*frames: Tensor) -> list[Tensor]:
            return [head.see_frame(torch.cat(frames))]

        (details,) = self._run("what the prompt head sees", None, see, frames) or see(*frames)
        return list(details.chunk(len(frames)))

    def refine(self, frame: Features, detail: Tensor, logit: Tensor) -> Tensor:
        """Refine the mask of a frame: see :func:`refine`."""

        def draw(*inputs: Tensor) -> list[Tensor]:
            *features, detail, logit = inputs
            return [refine(self.network, Features(tuple(features), (), ()), detail, logit)]

        inputs = [*frame.features, detail, logit]
        return (self._run("the prompt head", None, draw, inputs) or draw(*inputs))[0]

    def segment(
        self,
        current: Features,
        adjacent: Features,
        memory: MemoryBank,
        write: bool,
        size: tuple[int, int],
        usable: Tensor | None = None,
    ) -> Tensor:
        """Segment one encoded frame: see :func:`segment_frame`.

        Args:
            current: the frame to segment.
            adjacent: the frame next to it in time.
            memory: the clip's memory bank.
            write: whether to add the frame to the memory.
            size: the frame's height and width at the encoder's input, without its padding.
            usable: (B,), bool: the clips whose frame may be written; all if not given.

        Returns:
            the logit (B, 1, H, W). Where the network's is not finite it is :data:`EMPTY_LOGIT` in the whole frame.

        Raises:
            InputError: see :meth:`MemoryBank.read` and :meth:`MemoryBank.write`.
        """
        # The first frame of a clip has no memory, and how much the released rule drops depends on values.
        if self._calls is not None and memory.forgetting == "usage" and not memory.is_empty:
            # A read changes usage and life only.
            kinds = ("usage", "life", "keys", "values")
            slots = [getattr(scale, kind) for kind in kinds for scale in memory.scales]
            inputs = [*slots, *chain(*current), *adjacent.features]
            if write:  # In the type of most inputs, because tensors of one type are copied together.
                usage = memory.scales[0].usage
                inputs.append(usage.new_ones(len(usage)) if usable is None else usable.to(usage.dtype))

            def segment(*inputs: Tensor) -> list[Tensor]:
                usage, life, keys, values, *encoded = (inputs[start : start + 3] for start in range(0, 24, 3))
                may_write = inputs[24] > 0 if write else None
                scales = [ScaleMemory(*tensors) for tensors in zip(keys, values, usage, life, strict=True)]
                frame, other = Features(*encoded[:3]), Features(encoded[3], (), ())
                bank = memory.over(scales)
                logit = self._segment(frame, other, bank, write, size, may_write)
                return [logit] if bank.skipped_writes is None else [logit, bank.skipped_writes]

            options = (write, size, memory.memory_frames, memory.permanent_slots)
            outputs = self._run("a frame's step", options, segment, inputs, 12 if write else 6)
            if outputs is not None:
                if write:
                    memory.count_write(outputs[1])
                return outputs[0]
        return self._segment(current, adjacent, memory, write, size, usable)

    def _segment(
        self,
        current: Features,
        adjacent: Features,
        memory: MemoryBank,
        write: bool,
        size: tuple[int, int],
        usable: Tensor | None,
    ) -> Tensor:
        logits = segment_frame(current, adjacent, memory, self.network, write, usable)
        return leave_empty(self.network.upsample_logits(logits, size)[-1])

    def _run(
        self, name: str, options: Hashable, function: TensorFunction, inputs: Sequence[Tensor], changed: int = 0
    ) -> list[Tensor] | None:
        # A graph records no gradients, and the weights that autocast converts would not stay in memory.
        if self._calls is None or torch.is_grad_enabled() or torch.is_autocast_enabled(inputs[0].device.type):
            return None
        return self._calls.run(name, options, function, inputs, changed)


class _Prepared:
    """What the engines of a network on a GPU share."""

    def __init__(self, network: LSINet, amp_dtype: AmpDtype | None) -> None:
        check_network(network)
        self.amp_dtype = amp_dtype
        self.weights = [*network.parameters(), *network.buffers()]
        self.stamp = _stamp(self.weights)
        # The graphs read from these tensors. As long as they are here, no other tensor takes their place in memory.
        self.storages = [x.detach() for x in self.weights]
        is_half = self.weights[0].dtype.itemsize == 2
        self.half = halve_encoder(network, getattr(torch, amp_dtype)) if amp_dtype and not is_half else None
        self.calls = CapturedCalls()

    def fits(self, network: LSINet, amp_dtype: AmpDtype | None) -> bool:
        """Whether the network has not changed. Looks at each weight, but not for parts that were replaced alone."""
        is_same = not network.training and self.weights[0] is next(network.parameters())
        return is_same and self.amp_dtype == amp_dtype and self.stamp == _stamp(self.weights)


def _stamp(weights: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Where tensors are in memory, and how often they were changed."""
    return [(x.data_ptr(), 0 if x.is_inference() else x._version) for x in weights]


class FrameEngines:
    """The graphs of an inferer, per network. They go with their network, and when its weights change.

    A copy of this object, also in another process, has no graphs.
    """

    def __init__(self) -> None:
        self._prepared: WeakKeyDictionary[LSINet, _Prepared] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[FrameEngines], tuple[()]]:
        """Copy and pickle to a new object."""
        return type(self), ()

    def get(self, network: LSINet, amp_dtype: AmpDtype | None = None) -> FrameEngine:
        """Return the engine of a network, to use as long as its weights are not changed.

        Args:
            network: in evaluation mode.
            amp_dtype: see :class:`SequentialVideoInferer`.

        Raises:
            InputError: the network is in training mode or not an LSINet.
        """
        weight = next(network.parameters(), None) if isinstance(network, nn.Module) else None
        # Fake tensors, with which programs are traced, have no memory that a graph could read.
        if weight is None or weight.device.type != "cuda" or isinstance(weight, FakeTensor):
            check_network(network)
            warn_of_slow_bfloat16(amp_dtype, "cpu" if weight is None else weight.device.type)
            return FrameEngine(network, amp_dtype, None)
        with self._lock:
            prepared = self._prepared.get(network)
            if prepared is None or not prepared.fits(network, amp_dtype):
                prepared = self._prepared[network] = _Prepared(network, amp_dtype)
        return FrameEngine(prepared.half or network, None, prepared.calls)
