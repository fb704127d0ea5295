"""How TensorFlow lays out weights, and how they lie here."""

from torch import Tensor


def dense(weight: Tensor) -> Tensor:
    """[in, out] to [out, in]."""
    return weight.transpose(0, 1)


def convolution(weight: Tensor) -> Tensor:
    """[height, width, in, out] to [out, in, height, width]."""
    return weight.permute(3, 2, 0, 1)


def turned_convolution(weight: Tensor) -> Tensor:
    """The same, turned by 180 degrees: TensorFlow's StyleGAN2 turns the kernels that enlarge before it uses them."""
    return convolution(weight).flip(2, 3)


def one_more(bias: Tensor) -> Tensor:
    """A bias that the network adds 1 to."""
    return bias + 1.0
