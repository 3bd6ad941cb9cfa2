"""Answers in JSON: extraction, arrays, schemas."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from typing import Any

from .. import lexicon as lex
from ..chat import Block, Msg, dumps
from ..phrases.people import HOBBIES, JOBS
from ..phrases.word_lists import NUMBER_WORDS
from .material import Material


class Structured(Material):
    """Records as text and as JSON."""

    def record(self) -> tuple[dict[str, Any], str]:
        """A record and a text that states it."""
        rng = self.rng
        pick = rng.choice
        if self.chance(0.5):
            name = pick(lex.NAMES)
            full = name if self.chance(0.7) else f"{name} {pick(lex.SURNAMES)}"
            age, city, job, hobby = rng.randint(5, 90), pick(lex.CITIES), pick(JOBS), pick(HOBBIES)
            email, color, pet = f"{name.lower()}@example.com", pick(lex.COLORS), pick(lex.ANIMALS)
            options = [
                ("age", age, pick((f"is {age} years old", f"is {age} years old", f"is {age}", f"is aged {age}"))), ("city", city, f"lives in {city}"), ("job", job, f"works as a {job}"),
                ("hobby", hobby, f"likes {hobby}"), ("email", email, f"has the email {email}"),
                ("color", color, f"loves the color {color}"), ("pet", pet, f"has a {pet}"),
            ]  # fmt: skip
            chosen = rng.sample(options, rng.randint(1, 4))
            if self.chance(0.25):
                chosen = [("age", age, ""), ("city", city, "")] + ([("job", job, "")] if self.chance(0.5) else [])
                text = pick(
                    (
                        f"{full}, {age}, from {city}",
                        f"{full} ({age}) lives in {city}",
                        f"I am {full}, {age} years old, from {city}",
                    )
                )
                text += (f", {job}." if "lives" not in text else f" and is a {job}.") if len(chosen) == 3 else "."
            elif self.chance(0.5):
                text = f"{full} {self.join([c[2] for c in chosen]).replace(', ', ', ')}."
            else:
                text = " ".join(f"{full if i == 0 else name} {c[2]}." for i, c in enumerate(chosen))
            if self.chance(0.12):
                chosen = [("age", age, "")]
                text = pick(
                    (
                        f"{full} who is {age}",
                        f"{full} who is {age} years old",
                        f"{full}, aged {age}",
                        f"{full}, {age}",
                        f"{full} is {age}",
                    )
                )
            elif self.chance(0.12):
                text = pick((", ", " and ", ". ", "; ")).join(
                    [f"name is {full}"] + [f"{k} is {v}" for k, v, _ in chosen]
                )
                text = text[0].upper() + text[1:] + pick((".", ""))
            return {"name": full} | {c[0]: c[1] for c in chosen}, text
        if self.chance(0.4):
            thing, price = pick(lex.OBJECTS), pick((rng.randint(1, 500), round(rng.uniform(1, 99), 2)))
            color, count = pick(lex.COLORS), rng.randint(1, 40)
            text = pick((
                f"I bought {count} {color} {thing}s for {price} dollars each.",
                f"The {thing} is {color}, costs {price} dollars, and we have {count} in stock.",
                f"Order: {count} x {thing}, {color}, {price} dollars.",
            ))  # fmt: skip
            return {
                "item" if self.chance(0.5) else "product": thing,
                "color": color,
                "price": price,
                "quantity": count,
            }, text
        if self.chance(0.2):
            country, city = pick(lex.CAPITALS)
            text = pick(
                (
                    f"{city}, {country}",
                    f"{city} in {country}",
                    f"The city is {city} and the country is {country}.",
                    f"{city} is in {country}.",
                    f"{city} ({country})",
                )
            )
            return {"city": city, "country": country}, text
        if self.chance(0.3):
            title, day, hour, place = (
                pick(lex.NOUNS),
                self.date(),
                f"{rng.randint(7, 21)}:{pick(('00', '15', '30', '45'))}",
                pick(lex.CITIES),
            )
            text = pick((f"The {title} is on {day} at {hour} in {place}.", f"{title} in {place}, {day}, {hour}"))
            return {"title": title, "date": day, "time": hour, "place": place}, text
        keys = rng.sample(lex.PARAM_NAMES, rng.randint(1, 5))
        rec = {k: self.json_value() for k in keys}
        sep = pick((": ", "=", " is ", " = "))
        text = pick((", ", "; ", "\n", ", ")).join(
            f"{k}{sep}{v if isinstance(v, str) else dumps(v)}" for k, v in rec.items()
        )
        return rec, text

    def json(self) -> Block | None:
        """Extract given keys as JSON, build JSON from pairs, arrays."""
        rng = self.rng
        r = rng.random()
        value: Any
        if r < 0.12:
            if self.chance(0.5):
                value = [self.word() for _ in range(rng.randint(2, 5))]
                q = rng.choice(
                    ("Make a JSON array of {x}.", "Return a JSON array with {x}", "Write {x} as a JSON list.")
                ).format(x=self.join(value))
            else:
                group = rng.choice([g for g in lex.CATEGORIES if len(lex.CATEGORIES[g]) >= 7])
                n = rng.randint(2, 6)
                value = list(lex.CATEGORIES[group][:n])
                q = rng.choice(("Give me a JSON array of {n} {g}.", "Return {n} {g} as a JSON array.", "List {n} {g} as JSON.",
                                "Name {n} {g} as a JSON array", "Name {n} {g} in JSON.", "A JSON array with {n} {g}, please."))  # fmt: skip
                q = q.format(n=n if self.chance(0.65) else NUMBER_WORDS[n], g=group)
        elif r < 0.16:
            k, v = rng.choice(lex.PARAM_NAMES), self.json_value()
            value = {k: v}
            shown = v if isinstance(v, str) else dumps(v)
            q = rng.choice(('Return a JSON object with the key "{k}" and the value "{v}".', "Make JSON with {k} set to {v}.",
                            "Give me a JSON object where {k} is {v}.", "JSON with {k} = {v} please")).format(k=k, v=shown)  # fmt: skip
            if '"' + shown + '"' in q and not isinstance(v, str):
                value = {k: shown}
        elif r < 0.18:
            group = rng.choice(tuple(lex.SINGULAR))
            item = rng.choice(lex.CATEGORIES[group])
            value = {"name": item, "type": lex.SINGULAR[group]}
            q = rng.choice(("Describe {x} as JSON.", "Describe {x} in JSON", "Give me JSON about {x}.")).format(
                x=self.a(item)
            )
        elif r < 0.19:
            value = {"name": "Alice", "age": 30}
            q = self.vary(rng.choice(("Give me a JSON object.", "Return any JSON object.", "Give me an example of JSON.", "Show me some JSON.", "Write JSON.",
                                      "Create a person object in JSON.", "Make a JSON object for a person.", "Write an example JSON object.")))  # fmt: skip
        elif r < 0.20:
            value = {k: rng.randint(0, 99) for k in rng.sample("abcdxyz", rng.randint(1, 4))}
            q = rng.choice(("Return {x}", "Output {x}", "Return exactly {x}", "Reply with {x}")).format(x=dumps(value))
        elif r < 0.25:
            value = {k: self.json_value() for k in rng.sample(lex.PARAM_NAMES, rng.randint(1, 4))}
            q = rng.choice(("Repeat this JSON: {x}", "Copy this JSON exactly: {x}", "Return this JSON: {x}")).format(
                x=dumps(value)
            )
        else:
            rec, text = self.record()
            keys = list(rec)
            if self.chance(0.3) and len(keys) > 1:
                keys = rng.sample(keys, rng.randint(1, len(keys)))
            if self.chance(0.08):
                keys.insert(rng.randrange(len(keys) + 1), rng.choice([p for p in lex.PARAM_NAMES if p not in rec]))
            value = {k: rec.get(k) for k in keys}
            r = rng.random()
            if r < 0.15:
                types = {int: "integer", float: "number", bool: "boolean", str: "string"}
                schema = {
                    "type": "object",
                    "properties": {k: {"type": types.get(type(v), "string")} for k, v in value.items()},
                }
                if self.chance(0.5):
                    schema["required"] = keys
                q = rng.choice(("Extract JSON with this schema: {s}\n{t}", "{t}\nReturn JSON that matches this schema: {s}",
                                "Answer with JSON matching the schema.\nSchema: {s}\nText: {t}")).format(s=dumps(schema), t=text)  # fmt: skip
            elif r < 0.25 and set(keys) == set(rec) == set(value):
                q = rng.choice(
                    (
                        "Convert to JSON: {t}",
                        "Write this as JSON: {t}",
                        "Turn this into JSON:\n{t}",
                        "{t}\nReturn this as JSON.",
                    )
                )
                value = rec
                q = q.format(t=text)
            else:
                names = self.join([f'"{k}"' for k in keys] if self.chance(0.2) else keys)
                q = rng.choice((
                    "Extract {k} as JSON: {t}", "Extract the {k} from this text as JSON.\n{t}", "{t}\nGive me {k} in JSON.",
                    "Return a JSON object with the keys {k}.\nText: {t}", "Extract {k} as JSON from this text: {t}",
                    "Return JSON with the keys {k}: {t}", "{t}\nReturn {k} as JSON.", "Give me JSON with {k} for: {t}",
                    "Text: {t}\nExtract {k}. Answer only with JSON.", "Extract JSON with keys {k} from: {t}",
                    "Give me a JSON object with {k} for {t}", "Make a JSON object with {k}: {t}", "Create JSON with {k} for {t}",
                    "Parse this into JSON with the keys {k}: {t}", "What are the {k}? Answer in JSON. {t}",
                )).format(k=names, t=text)  # fmt: skip
        if not self.ok("json", q):
            return None
        return Block("json", [Msg("user", q), Msg("assistant", dumps(value), (), None, "json", "json", value)])
