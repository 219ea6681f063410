"""Random weights for codecs in environments of their own, made by their packages' own classes: `python THIS FAMILY FOLDER`.

Run by the family's Python. What is written has the names and the form of the published files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def dualcodec(folder: Path) -> None:
    """The 12.5 Hz model at its true size, and w2v-BERT with its true width and the layers that are read, otherwise narrow."""
    import dualcodec as package
    import torch
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate
    from safetensors.torch import save_model
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

    assert package.__file__ is not None
    with initialize_config_dir(str(Path(package.__file__).parent / "conf" / "model"), version_base="1.3"):
        network = instantiate(compose("dualcodec_12hz_16384_4096_8vq.yaml").model)
    save_model(network, str(folder / "dualcodec_12hz_16384_4096.safetensors"))
    torch.save({"mean": torch.zeros(1024), "var": torch.ones(1024)}, folder / "w2vbert2_mean_var_stats_emilia.pt")
    config = Wav2Vec2BertConfig(num_hidden_layers=17, intermediate_size=16, conv_depthwise_kernel_size=3)
    Wav2Vec2BertModel(config).save_pretrained(folder)
    SeamlessM4TFeatureExtractor().save_pretrained(folder)


def yourtts(folder: Path) -> None:
    """VITS and a speaker encoder, under the names of the release, whose config.json names paths of another machine."""
    import torch
    from TTS.config.shared_configs import BaseAudioConfig
    from TTS.encoder.configs.speaker_encoder_config import SpeakerEncoderConfig
    from TTS.encoder.utils.generic_utils import setup_encoder_model
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.models.vits import Vits

    heard = BaseAudioConfig(sample_rate=16000, num_mels=64, fft_size=512, win_length=400, hop_length=160)
    speaker = SpeakerEncoderConfig(
        audio=heard, num_loader_workers=0, num_classes_in_batch=2, num_utter_per_class=2, grad_clip=1.0,
        model_params={"model_name": "resnet", "input_dim": 64, "proj_dim": 512, "use_torch_spec": True, "log_input": True},
    )  # fmt: skip
    torch.save({"model": setup_encoder_model(speaker).state_dict()}, folder / "model_se.pth")
    speaker.save_json(str(folder / "config_se.json"))
    known = {f"{name}.wav": {"name": name, "embedding": [0.1] * 512} for name in ("one", "two")}
    (folder / "speakers.json").write_text(json.dumps(known))
    sizes = VitsArgs(
        use_d_vector_file=True, d_vector_dim=512, num_layers_text_encoder=1, num_layers_posterior_encoder=4, num_layers_flow=2,
        d_vector_file=[str(folder / "speakers.json")],
    )  # fmt: skip
    sound = BaseAudioConfig(sample_rate=16000, fft_size=1024, win_length=1024, hop_length=256, num_mels=80)
    config = VitsConfig(model_args=sizes, audio=sound, use_d_vector_file=True, d_vector_dim=512)
    torch.save({"model": Vits.init_from_config(config).state_dict()}, folder / "model_file.pth")
    config.model_args.d_vector_file = ["/checkpoints/your_tts/speakers.json"]
    config.model_args.speaker_encoder_model_path = "/checkpoints/your_tts/model_se.pth"
    config.model_args.speaker_encoder_config_path = "/checkpoints/your_tts/config_se.json"
    config.save_json(str(folder / "config.json"))


def nanocodec(folder: Path) -> None:
    """The 1.78 kbit/s model at its true sizes in one .nemo file, whose configuration also names what only training uses: a
    discriminator, and a speaker encoder that would be fetched. Of the waves in waves.npz beside `folder` this very network's
    codes and decoded waves are written to answers.npz there."""
    import numpy as np
    import torch
    from nemo.collections.tts.models import AudioCodecModel
    from omegaconf import OmegaConf, open_dict

    modules, losses = "nemo.collections.tts.modules.audio_codec_modules.", "nemo.collections.tts.losses.audio_codec_loss."
    rates = [7, 7, 6, 3, 2]
    config = {
        "sample_rate": 22050, "samples_per_frame": 1764, "commit_loss_scale": 0.0,
        "loss_resolutions": [[512, 128, 512]], "mel_loss_dims": [80],
        "audio_encoder": {
            "_target_": modules + "HiFiGANEncoder", "encoded_dim": 52, "down_sample_rates": rates[::-1], "base_channels": 24,
            "activation": "lrelu", "resblock_dilation_sizes": [1],
        },
        "audio_decoder": {
            "_target_": modules + "CausalHiFiGANDecoder", "input_dim": 52, "up_sample_rates": rates, "base_channels": 864,
            "activation": "half_snake", "output_activation": "clamp",
        },
        "vector_quantizer": {
            "_target_": modules + "GroupFiniteScalarQuantizer", "num_groups": 13, "num_levels_per_group": [8, 7, 6, 6],
        },
        "discriminator": {
            "_target_": modules + "Discriminator",
            "discriminators": [{"_target_": modules + "MultiPeriodDiscriminator", "periods": [2]}],
        },
        "generator_loss": {"_target_": losses + "GeneratorSquaredLoss"},
        "discriminator_loss": {"_target_": losses + "DiscriminatorSquaredLoss"},
    }  # fmt: skip
    torch.manual_seed(0)
    network = AudioCodecModel(OmegaConf.create(config)).eval()
    count = torch.tensor([22050])
    with torch.no_grad():
        # An untrained encoder's outputs are all near zero, where one code stands for them.
        last = network.audio_encoder.post_conv.conv
        noise = torch.randn(1, 22050)
        encoded, _ = network.encode_audio(audio=noise, audio_len=count)
        last.parametrizations.weight.original0 /= encoded.std()
        last.bias /= encoded.std()
        answers = {}
        with np.load(folder.parent / "waves.npz") as waves:
            for name, wave in waves.items():
                codes, frames = network.encode(audio=torch.from_numpy(wave)[None], audio_len=torch.tensor([len(wave)]))
                decoded, _ = network.decode(tokens=codes, tokens_len=frames)
                answers[f"codes_{name}"], answers[f"wave_{name}"] = codes[0].T.numpy(), decoded[0].numpy()
    np.savez(folder.parent / "answers.npz", **answers)
    with open_dict(network.cfg):
        network.cfg.use_scl_loss = True
    network.save_to(str(folder / "nemo-nano-codec-22khz-1.78kbps-12.5fps.nemo"))


if __name__ == "__main__":
    place = Path(sys.argv[2])
    place.mkdir(parents=True, exist_ok=True)
    globals()[sys.argv[1]](place)
