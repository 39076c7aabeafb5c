"""Models: plain `nn.Module`s, one idea a file; `forward` returns a NamedTuple and computes no loss."""

from deepunsup_helpers.models.autoencoder import AutoencoderOutput, ConvAutoencoder, MLPAutoencoder
from deepunsup_helpers.models.classifier import ConvClassifier
from deepunsup_helpers.models.dcgan import DCGANDiscriminator, DCGANGenerator
from deepunsup_helpers.models.denoiser import ConvDenoiser
from deepunsup_helpers.models.filters import RandomFilters
from deepunsup_helpers.models.gan import MLPDiscriminator, MLPGenerator
from deepunsup_helpers.models.layers import mlp
from deepunsup_helpers.models.mixture import (
    Collapsed,
    Mixture,
    em_step,
    fit_mixture,
    log_joint,
    sample_mixture,
    start_mixture,
)
from deepunsup_helpers.models.parallel import ParallelLinear, ParallelWaves, parallel_mlp
from deepunsup_helpers.models.reader import FactorReader
from deepunsup_helpers.models.recommender import ItemWeights
from deepunsup_helpers.models.som import SelfOrganizingMap, fit_som
from deepunsup_helpers.models.super_resolution import SuperResolver, enlarge_bicubic, enlarge_in_tiles
from deepunsup_helpers.models.vae import MLPVAE, VAE, ConvVAE, VAEOutput

__all__ = [
    "AutoencoderOutput",
    "Collapsed",
    "ConvAutoencoder",
    "ConvClassifier",
    "ConvDenoiser",
    "ConvVAE",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "FactorReader",
    "RandomFilters",
    "ItemWeights",
    "MLPAutoencoder",
    "MLPDiscriminator",
    "MLPGenerator",
    "MLPVAE",
    "Mixture",
    "ParallelLinear",
    "ParallelWaves",
    "SuperResolver",
    "SelfOrganizingMap",
    "VAE",
    "VAEOutput",
    "em_step",
    "enlarge_bicubic",
    "enlarge_in_tiles",
    "fit_mixture",
    "fit_som",
    "log_joint",
    "mlp",
    "parallel_mlp",
    "sample_mixture",
    "start_mixture",
]
