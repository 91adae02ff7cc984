"""Make the shipped model file out of a trained one: its size of frames, its threshold, half precision.

python scripts/finish_model.py outputs/training/model.pt bundle/models/model.pt --image-size 352 --raise-threshold 0.5

The recipe trains with 288 pixels a side. On held-out stills and CVC-ClinicDB's training sequences the network
segments best with 352, and there the best threshold of its logit is 0.5, not 0, which is a probability of 0.5. So 0.5
is subtracted from the last bias.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from lsinet_monai.networks import load_checkpoint
from lsinet_monai.utils.files import write_torch_file

LAST_BIAS = "decoder.reverse.0.blocks.2.score.bias"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained")
    parser.add_argument("finished")
    parser.add_argument("--image-size", type=int, required=True, help="the side of the frames that the network gets")
    parser.add_argument("--raise-threshold", type=float, default=0.0, help="a logit that is to be a probability of 0.5")
    arguments = parser.parse_args()
    network, _ = load_checkpoint(arguments.trained)
    state = network.state_dict()
    state[LAST_BIAS] = state[LAST_BIAS] - arguments.raise_threshold
    # BatchNorm's statistics and other vectors stay in full precision: they are small, and their range is wide.
    halved = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    content = {"model": halved, "network": network.config, "image_size": arguments.image_size}
    write_torch_file(content, arguments.finished, durable=True)
    found = hashlib.sha256(Path(arguments.finished).read_bytes()).hexdigest()
    print(f"to ship it, set SHA256 in lsinet_monai/utils/shipped_model.py to {found}")


if __name__ == "__main__":
    main()
