"""Image GANs behind one protocol, with their weights and cards; 2D only."""

from typing import TYPE_CHECKING

from ganverse._lazy import lazy_exports

if TYPE_CHECKING:
    from ganverse.generators.discriminator import Discriminator
    from ganverse.generators.framing import Framing, LetterboxGenerator, framed, unframed
    from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator, style_slices
    from ganverse.generators.stylegan1 import StyleGAN1Config, StyleGAN1Generator
    from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
    from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config, PaperStyleGAN2Generator
    from ganverse.generators.stylegan3 import StyleGAN3Config, StyleGAN3Generator
    from ganverse.generators.weights import GeneratorCard, load_generator, save_generator

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
