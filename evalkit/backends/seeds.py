"""Seeds for servers and engines that draw by themselves."""

from __future__ import annotations

import hashlib


def request_seed(seed: int, prompt: str, sample: int = 0) -> int:
    """A seed of its own for each prompt and sample, as a hash: neighbours that share one would share their draws.

    Args:
        seed: The run's.
        prompt: What is continued.
        sample: Which of the prompt's samples is the first to be drawn with it.

    Returns:
        A number below 2 ** 31, which every server takes.
    """
    digest = hashlib.blake2b(f"{seed} {sample} {prompt}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1
