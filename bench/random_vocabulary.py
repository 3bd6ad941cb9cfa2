"""A byte-level BPE vocabulary of any size for models without training: text of any kind encodes and decodes exactly.

256 byte tokens, some English words with the merges that build them, made-up words up to the wanted size, and the
special tokens of the family at their usual ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import gguf

SPACE = "Ġ"  # how byte-level BPE spells the space
WORDS = (
    "the of and to in is that it was for on are as with his they at be this from have or by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so these "
    "would other into has more her two like him see time could no make than first been its who now people my made over "
    "did down only way find use may water long little very after words called just where most know get through back "
    "much before go good new write our used me man too any day same right look think also around another came come "
    "work three word must because does part even place well such here take why things help put years different away "
    "again off went old number great tell men say small every found still between name should home big give air line "
    "set own under read last never us left end along while might next sound below saw something thought both few those "
    "always looked show large often together asked house world going want school important until form food keep "
    "children feet land side without boy once animals life enough took sometimes four head above kind began almost "
    "live page got earth need far hand high year mother light country father let night picture being study second soon "
    "story since white ever paper hard near sentence better best across during today however sure means knew try told "
    "young sun thing whole hear example heard several change answer room sea against top turned learn point city play "
    "toward five using himself usually money seen car morning body upon family later turn move face door cut done "
    "group true half red fish plants living black eat short run book gave order open ground cold really table remember "
    "tree course front space inside ago sad early learned brought close nothing though idea before lived became add "
    "system user assistant token model prompt server request stream cache batch thread memory data file code function"
)


@dataclass(frozen=True)
class Family:
    """Pre-tokenizer, special tokens and chat format of a model family, in its own ids where the vocabulary reaches."""

    pre: str
    first_special: int
    """Usual id of the first special token; a vocabulary that is too small for it has them at its end."""
    specials: tuple[str, ...]
    bos: str | None
    eos: str
    pad: str
    chat_template: str


QWEN = Family(
    pre="qwen2",
    first_special=151643,
    specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    bos=None,
    eos="<|im_end|>",
    pad="<|endoftext|>",
    chat_template=(
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
)
LLAMA3 = Family(
    pre="llama-bpe",
    first_special=128000,
    specials=(
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|reserved_special_token_0|>",
        "<|reserved_special_token_1|>",
        "<|finetune_right_pad_id|>",
        "<|reserved_special_token_2|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eom_id|>",
        "<|eot_id|>",
    ),
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    pad="<|finetune_right_pad_id|>",
    chat_template=(
        "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
        "{{ message.content }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
)


@dataclass(frozen=True)
class Vocabulary:
    """Token texts (byte-level alphabet), their GGUF types and the merges, in order of rank."""

    tokens: list[str]
    types: list[int]
    merges: list[str]


def byte_alphabet() -> list[str]:
    """The character that stands for each of the 256 bytes: itself where printable, else one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def made_up_words() -> list[str]:
    """One million pronounceable words, each with a space in front."""
    syllables = ["".join(pair) for pair in product("bcdfghjklmnprstvwxyz", "aeiou")]
    return [SPACE + "".join(parts) for parts in product(syllables, repeat=3)]


def build_vocabulary(family: Family, size: int) -> Vocabulary:
    """A vocabulary of exactly `size` tokens. Raises ValueError when the real words and special tokens do not fit."""
    texts = dict.fromkeys(byte_alphabet())
    merges = []
    for word in WORDS.split():
        for spelled in (word, SPACE + word):
            for end in range(1, len(spelled)):
                joined = spelled[: end + 1]
                if joined not in texts:
                    texts[joined] = None
                    merges.append(f"{spelled[:end]} {spelled[end]}")
    if size < (least := len(texts) + len(family.specials)):
        raise ValueError(f"a vocabulary needs at least {least} tokens, not {size}")
    first = min(family.first_special, size - len(family.specials))
    after = size - first - len(family.specials)
    fillers = iter([word for word in made_up_words() if word not in texts])
    normal = [*texts, *(next(fillers) for _ in range(first - len(texts)))]
    reserved = [f"<|reserved_{i}|>" for i in range(after)]
    types = [gguf.TokenType.NORMAL] * first
    types += [gguf.TokenType.CONTROL] * len(family.specials) + [gguf.TokenType.UNUSED] * after
    return Vocabulary([*normal, *family.specials, *reserved], [int(t) for t in types], merges)


def add_tokenizer(writer: gguf.GGUFWriter, family: Family, size: int) -> None:
    """Write the vocabulary and the family's special tokens and chat template as GGUF metadata."""
    vocabulary = build_vocabulary(family, size)
    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(family.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    if family.bos:
        writer.add_bos_token_id(ids[family.bos])
    writer.add_add_bos_token(family.bos is not None)
    writer.add_eos_token_id(ids[family.eos])
    writer.add_pad_token_id(ids[family.pad])
    writer.add_chat_template(family.chat_template)
