"""Items of `json-extraction`: sentences with facts in them, the keys that are asked for, and the facts as JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import cycle
from typing import Any

from made import Draw, Made, draw_each, words

Facts = dict[str, Any]
Source = tuple[Callable[[random.Random], Facts], tuple[str, ...]]

_NAMES = words(
    "Amira Bjorn Carla Dmitri Elif Farid Greta Hiro Ingrid Jorge Katya Liam Mei Noor Olive Pablo Quinn Rosa Sven Tara"
)
_CITIES = words("Bergen Cork Dakar Essen Fez Ghent Haifa Izmir Jaipur Kyoto Leeds Malmo Nantes Osaka Porto Quito")
_GOODS = (
    "desk lamp",
    "tea kettle",
    "rain jacket",
    "backpack",
    "wall clock",
    "bread knife",
    "garden hose",
    "alarm clock",
)
_JOBS = ("dentist", "plumber", "pilot", "translator", "gardener", "nurse", "architect", "cook")
_DISHES = {
    "lentil soup": ("lentils", "carrots", "onions", "celery", "garlic"),
    "apple pie": ("apples", "flour", "butter", "cinnamon", "sugar"),
    "rice salad": ("rice", "peppers", "olives", "parsley", "lemons"),
    "fish curry": ("cod", "coconut milk", "ginger", "limes", "rice"),
    "mushroom risotto": ("rice", "mushrooms", "onions", "white wine", "cheese"),
    "onion tart": ("onions", "eggs", "cream", "flour", "butter"),
}
_EVENTS = ("book fair", "chess night", "flea market", "jazz concert", "pottery course", "first-aid course")
_DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_SKIES = ("cloudy", "sunny", "foggy", "rainy", "windy")


def _person(rng: random.Random) -> Facts:
    return {
        "name": rng.choice(_NAMES),
        "age": rng.randint(19, 68),
        "city": rng.choice(_CITIES),
        "job": rng.choice(_JOBS),
    }


def _order(rng: random.Random) -> Facts:
    price = rng.randint(4, 90) + rng.choice((0.5, 0.25, 0.75, 0.95, 0.4))
    return {"item": rng.choice(_GOODS), "quantity": rng.randint(2, 9), "price": price, "express": rng.random() < 0.5}


def _recipe(rng: random.Random) -> Facts:
    dish = rng.choice(sorted(_DISHES))
    return {"dish": dish, "minutes": 5 * rng.randint(3, 18), "ingredients": rng.sample(_DISHES[dish], 3)}


def _event(rng: random.Random) -> Facts:
    time = f"{rng.randint(9, 20)}:{rng.choice(('00', '15', '30', '45'))}"
    return {"event": rng.choice(_EVENTS), "day": rng.choice(_DAYS), "time": time, "city": rng.choice(_CITIES)}


def _weather(rng: random.Random) -> Facts:
    low = rng.randint(-6, 16)
    return {"city": rng.choice(_CITIES), "sky": rng.choice(_SKIES), "low": low, "high": low + rng.randint(3, 12)}


def _trip(rng: random.Random) -> Facts:
    start, end = rng.sample(_CITIES, 2)
    return {"from": start, "to": end, "passengers": rng.randint(2, 6), "return": rng.random() < 0.5}


# {key} stands for a fact; {key?yes|no} for words that say whether it is true; {key+} for a list in words.
_SOURCES: dict[str, Source] = {
    "person": (
        _person,
        (
            "{name}, a {age}-year-old {job}, moved to {city} last spring.",
            "Our new neighbour is called {name}. At {age}, this {job} has just come here from {city}.",
            "For {name} from {city}, being a {job} was a childhood dream that came true at {age}.",
            "The {job} who spoke first was {name}, {age}, of {city}.",
            "You will like {name}: {age} years old, lives in {city}, works as a {job} and tells good jokes.",
            "Applicant: {name}. Age: {age}. Present job: {job}. Lives in {city}.",
            "My cousin {name} turned {age} today and is still the best {job} in {city}.",
        ),
    ),
    "order": (
        _order,
        (
            "Please send the {item}, {quantity} pieces at {price} euros each; {express?express|normal} delivery.",
            "We ordered the {item} {quantity} times at {price} euros, {express?by express|not by express}.",
            "Order: {item}, {price} euros, quantity {quantity}, {express?with|without} express delivery.",
            "At {price} euros the {item} is a bargain: send {quantity}, {express?and by|but not by} express.",
            "{express?By express, please|No express, please}: {quantity} times the {item} for {price} euros apiece.",
            "{quantity} of the {item}, as advertised for {price} euros. {express?Express, please|Normal post will do}.",
            "The customer took {quantity} pieces of the {item} ({price} euros); shipping: {express?express|standard}.",
        ),
    ),
    "recipe": (
        _recipe,
        (
            "The {dish} takes {minutes} minutes, and all you need is {ingredients+}.",
            "Buy {ingredients+}; in {minutes} minutes you will have {dish} on the table.",
            "My quickest dish is {dish}: {ingredients+}, and {minutes} minutes of work.",
            "With {ingredients+} in the house you can make {dish}. Allow {minutes} minutes.",
            "It took me {minutes} minutes to cook {dish} from {ingredients+}.",
            "Tonight: {dish}. Put {ingredients+} into a pot and wait {minutes} minutes.",
            "Nobody believes that {dish} needs {minutes} minutes and nothing but {ingredients+}.",
        ),
    ),
    "event": (
        _event,
        (
            "The {event} in {city} begins on {day} at {time}.",
            "Don't forget: {day}, {time}, {event} in {city}!",
            "There is a {event} this {day}. Doors open at {time}, and it is the first one ever held in {city}.",
            "{city} invites you to its {event} on {day}; come at {time}.",
            "Because of the rain the {event} was moved to {day} at {time}, still in {city}.",
            "Are you free on {day}? At {time} they open the {event} over in {city}.",
            "{event}, {city}, {day}, {time}. Admission is free.",
        ),
    ),
    "weather": (
        _weather,
        (
            "{city} will be {sky} tomorrow, with {low} degrees in the morning and {high} in the afternoon.",
            "A {sky} day for {city}: highs of {high}, lows of {low}.",
            "Expect between {low} and {high} degrees and a {sky} sky over {city}.",
            "In {city} the thermometer climbs from {low} to {high} degrees, and it stays {sky}.",
            "It is {sky} in {city}. The day's maximum is {high} degrees, its minimum {low}.",
            "{city} woke up to {low} degrees; by noon, under a {sky} sky, it was {high}.",
            "Pack for {city}: {sky}, never above {high} degrees, never below {low}.",
        ),
    ),
    "trip": (
        _trip,
        (
            "{passengers} tickets from {from} to {to}, {return?return|one way}, please.",
            "We are {passengers} people, start in {from}, go to {to} and {return?will come back|will stay there}.",
            "To {to} for {passengers} passengers: we leave from {from} and {return?need|do not need} the way back.",
            "Booked: {from} to {to}, {return?there and back|there only}, seats for {passengers}.",
            "From {from}, {passengers} of us are travelling to {to} on a {return?return|single} ticket.",
            "My family of {passengers} flies from {from} to {to} and {return?is back by Sunday|never comes back}.",
            "One car for {passengers} passengers from {from}; drop us off in {to}{return? and bring us home again|}.",
        ),
    ),
}


def items(rng: random.Random) -> list[Made]:
    """The items, in mixed order."""
    return draw_each(rng, {kind: _drawer(*source) for kind, source in _SOURCES.items()}, 21)


def _drawer(draw_facts: Callable[[random.Random], Facts], sentences: tuple[str, ...]) -> Draw:
    turns = cycle(sentences)

    def draw(rng: random.Random) -> tuple[str, str]:
        facts = draw_facts(rng)
        return f"{_told(next(turns), facts)}\nKeys: {', '.join(facts)}", json.dumps(facts)

    return draw


def _told(sentence: str, facts: Facts) -> str:
    for key, value in facts.items():
        if isinstance(value, bool):
            before, _, rest = sentence.partition(f"{{{key}?")
            choice, _, after = rest.partition("}")
            sentence = before + choice.split("|")[0 if value else 1] + after
        elif isinstance(value, list):
            sentence = sentence.replace(f"{{{key}+}}", f"{', '.join(value[:-1])} and {value[-1]}")
        else:
            sentence = sentence.replace(f"{{{key}}}", f"{value:.2f}" if isinstance(value, float) else str(value))
    return sentence
