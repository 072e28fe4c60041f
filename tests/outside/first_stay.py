"""A score of blocks: the first ones matter most."""

from gancompress.importance import register_block_score


@register_block_score
def first_stay(network, blocks, batches):
    return {block: -float(position) for position, block in enumerate(blocks)}
