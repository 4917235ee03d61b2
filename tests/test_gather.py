"""Gathering public photos: the whole command against both services and their hosts, played on this machine.

The client is given a session whose adapter leads the real addresses there; no function is replaced.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from gather_services import (
    CC_BY,
    OPEN_DATA,
    PICTURES,
    FakeTime,
    Services,
    at_path,
    client,
    cut,
    large,
    observation,
    picture,
    record,
    send,
    served,
    status,
    taxon,
    twice,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fishlib.errors import UserError
from fishlib.files import paths
from fishlib.files.frames import read_frame
from fishlib.photos.gather import collect, common, inaturalist, licences, looks, names, options, tables
from fishlib.photos.gather import picture as picture_of
from fishlib.photos.manifest import scan

TUNA, AUXIS = "Thunnus_obesus", "Auxis_rochei"


@pytest.fixture
def services():
    """Two species: bigeye tuna (1) and bullet tuna (2), each with three observations of three people."""
    made = Services()
    made.species(1, "Thunnus obesus")
    made.species(2, "Auxis rochei")
    made.places = [{"id": 6737, "name": "Japan", "display_name": "Japan", "admin_level": 0}]
    for species in (1, 2):
        for n in range(3):
            number = 10 * species + n
            made.observations.append(observation(number, species, [100 * number], user=n, places=[5, 6737]))
    return made


@pytest.fixture
def server(services):
    with served(services) as port:
        services.port = port
        yield services


@pytest.fixture
def gather(server, tmp_path):
    """gather(names, sources=..., time=..., **options as a user writes them) into tmp_path/photos."""

    def gather(asked=("Thunnus obesus",), sources=("inaturalist",), time=None, out=None, **wanted):
        out = out or tmp_path / "photos"
        made = client(server.port, time)
        return collect.collect(out, list(asked), options.checked(**wanted), list(sources), made, progress=False)

    gather.out = tmp_path / "photos"
    return gather


def table(gather, name="attribution.csv") -> pd.DataFrame:
    return read_frame(gather.out / name)


def reasons(gather) -> dict[str, str]:
    """Page of a photo that was not kept -> why."""
    refused = table(gather, "refused.csv")
    return dict(zip(refused["page"].str.split("/").str[-1], refused["status"] + ": " + refused["reason"], strict=True))


def files(out: Path) -> dict[str, bytes]:
    """Every file but the journal, which says the same in the order of its run."""
    names = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in names}


def test_photos_of_species_with_their_authors_groups_and_card(gather, server):
    result = gather(["Thunnus obesus", "Auxis rochei"])
    assert result.counts == {"species": 2, "photos": 6, "new": 6, "in conflict": 0}
    assert result.empty == result.unfinished == []
    attribution = table(gather)
    assert list(attribution) == tables.ATTRIBUTION
    first = attribution.iloc[-3]
    assert first["photo_id"] == f"{TUNA}/inaturalist_1000.jpg" and first["species"] == "Thunnus obesus"
    assert first["page"] == "https://www.inaturalist.org/observations/10" and first["observation"] == "10"
    assert (first["licence"], first["licence_url"]) == ("CC BY", "https://creativecommons.org/licenses/by/4.0/")
    assert first["country"] == "Japan" and first["date"] == "2020-05-01"
    manifest = scan(gather.out)
    assert set(manifest["status"]) == {"ok"}  # the tables beside the photos are no rows
    assert list(manifest["photo_id"]) == list(attribution["photo_id"])
    assert list(manifest["sha256"]) == list(attribution["sha256"])
    groups = table(gather, "groups.csv")
    assert list(groups["photo_id"]) == list(attribution["photo_id"]) and groups["group"].nunique() == 3
    _, front, text = (gather.out / "dataset.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["size_categories"] == ["n<1K"]
    assert "6 photos of 2 species" in text and "| Auxis rochei | 3 | 3 |" in text and "Accessed 2023-11-14" in text
    assert all("fishlib/" in agent for agent in server.agents)


def test_neither_coordinates_nor_mail_addresses_are_kept(gather, server):
    server.records.append(record(5, 9001, [("a.jpg", CC_BY)], by="Anna anna@example.org"))
    server.pictures[at_path("a.jpg", PICTURES)] = picture(7)
    gather(sources=["inaturalist", "gbif"])
    assert set(table(gather)["author"]) >= {"Person 1 <(mail address left out)>", "Anna (mail address left out)"}
    everything = b"\n".join(path.read_bytes() for path in gather.out.rglob("*") if path.is_file())
    for secret in (b"35.12", b"139.65", b"@example", b"Harbour"):
        assert secret not in everything


def test_photos_are_shrunk_turned_and_say_nothing_but_their_pixels(gather, server):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif.get_ifd(0x8825)[2] = (35.0, 7.0, 24.0)
    server.pictures[large(1000)] = picture(1, size=(1600, 1200), exif=exif)
    gather(each=1, side=800)
    with Image.open(gather.out / TUNA / "inaturalist_1000.jpg") as image:
        assert image.size == (600, 800) and not image.getexif() and "icc_profile" not in image.info


def test_each_photo_s_own_licence_counts_and_not_the_observation_s(gather, server):
    photos = [(1, "cc-by-nc"), (2, None), (3, "cc0"), (4, "cc-by-nd"), (5, "something-new")]
    server.observations = [observation(10, 1, photos, license_code="cc-by")]
    gather()
    kept = table(gather)
    assert dict(zip(kept["url"].str.split("/").str[4], kept["licence"], strict=True)) == {"1": "CC BY-NC", "3": "CC0"}
    refused = table(gather, "refused.csv").set_index(table(gather, "refused.csv")["url"].str.split("/").str[4])
    assert "all rights" in refused.loc["2", "reason"] and refused.loc["4", "reason"] == "its licence is CC BY-ND"
    assert "not known: something-new" in refused.loc["5", "reason"]
    assert len(server.photos_seen()) == 2  # what is refused by its licence is not fetched
    gather(allowed=["cc-by-nd", "CC0"])
    assert set(table(gather)["licence"]) == {"CC BY-NC", "CC0", "CC BY-ND"}


def test_gbif_s_licences_are_free_text_of_the_picture(gather, server):
    media = {
        "a": CC_BY, "b": "CC0 1.0", "c": "© Anna, all rights reserved", "d": "", "e": "CC BY for the text only",
        "f": "https://creativecommons.org/licenses/by-nc/3.0/deed.de", "g": "CC_BY_SA_4_0",
    }  # fmt: skip
    server.records = [record(n, 9001, [(f"{name}.jpg", said)]) for n, (name, said) in enumerate(media.items())]
    for n, name in enumerate(media):
        server.pictures[at_path(f"{name}.jpg", PICTURES)] = picture(n)
    gather(sources=["gbif"], per_observer=99)
    kept = table(gather)
    assert list(kept["licence"]) == ["CC BY", "CC0", "CC BY-NC"] and set(kept["country"]) == {"Japan"}
    assert kept["licence_url"].iloc[2] == "https://creativecommons.org/licenses/by-nc/3.0/"
    why = reasons(gather)
    assert list(why) == ["2", "3", "4", "6"] and "all rights are reserved" in why["3"]
    assert why["2"] == "not allowed: its licence is not known: © Anna, all rights reserved"
    assert why["4"].endswith("not known: CC BY for the text only") and why["6"].endswith("its licence is CC BY-SA")


def test_gbif_s_copy_of_inaturalist_is_left_out_where_inaturalist_is_asked(gather, server):
    copy = record(5, 9001, [], dataset="50c9509d-22c7-4a22-a47d-8c48425ef4a7")
    address = f"https://{OPEN_DATA}/photos/77/original.jpg"
    copy["media"] = [{"type": "StillImage", "identifier": address, "license": CC_BY, "creator": "Anna"}]
    server.records = [copy]
    gather(sources=["inaturalist", "gbif"])
    assert set(table(gather)["source"]) == {"inaturalist"}
    assert gather(["Auxis rochei", "Thunnus obesus"], ["gbif"]).counts["photos"] == 4
    assert large(77) in server.photos_seen()  # in the size that is wanted, and not the original


def test_at_most_so_many_a_species_and_an_observer(gather, server):
    server.observations = [observation(n, 1, [n], user=n % 2) for n in range(1, 11)]
    gather(each=3, per_observer=2)
    assert len(table(gather)) == 3 and len(server.photos_seen()) == 3
    gather(each=100, per_observer=2)  # more are wanted: it goes on, nothing twice
    assert len(table(gather)) == 4 and not twice(server.photos_seen())
    assert table(gather, "refused.csv").empty  # too many is no refusal


def test_paging_past_ten_thousand_observations(gather, server):
    many = [observation(n, 1, [n], user=1) for n in range(1, 10_301)]
    server.observations = [*many, *(observation(n, 1, [n], user=2) for n in (10_301, 10_302))]
    result = gather(each=4, per_observer=2)
    assert result.counts["photos"] == 4 and len(server.photos_seen()) == 4
    assert len([path for path in server.pages_seen() if path.endswith("observations")]) == 52


def test_gbif_s_listing_ends_where_its_paging_does(gather, server, monkeypatch):
    monkeypatch.setattr("fishlib.photos.gather.gbif.DEEPEST", 900)
    server.records = [record(n, 9001, [("x.jpg", "no licence")]) for n in range(1000)]
    result = gather(sources=["gbif"])
    assert any("pages through 900 records" in note for note in result.notes)
    assert result.empty == ["Thunnus obesus"] and len(table(gather, "refused.csv")) == 900


def test_place_years_and_the_day_after_narrow_both_listings(gather, server):
    server.observations = [
        observation(1, 1, [1], observed_on="2019-12-31", places=[6737]),
        observation(2, 1, [2], observed_on="2020-06-01", places=[6737]),
        observation(3, 1, [3], observed_on="2020-06-02", places=[6737]),
        observation(4, 1, [4], observed_on="2020-06-03", places=[1]),
    ]
    server.records = [record(n, 9001, [(f"{n}.jpg", CC_BY)], date=d) for n, d in enumerate(["2020-06", "2020-07-01"])]
    server.pictures = {at_path(f"{n}.jpg", PICTURES): picture(50 + n) for n in range(2)}
    gather(sources=["inaturalist", "gbif"], place="jp", years="2020", after="2020-06-01")
    assert set(table(gather)["observation"]) == {"3", "1"}
    assert "the day it was observed is not known" in reasons(gather)["0"]
    asked = next(query for path, query in zip(server.seen, server.queries, strict=True) if path.endswith("/search"))
    assert (asked["country"], asked["eventDate"]) == (["JP"], ["2020-06-02,2020-12-31"])


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"each": 0}, "--each"),
        ({"side": 10}, "--size 10"),
        ({"years": "now"}, "--years now"),
        ({"years": "2021-2020"}, "backwards"),
        ({"after": "May 2020"}, "--observed-after May 2020"),
        ({"years": "2020", "after": "2021-01-01"}, "leave no day"),
        ({"allowed": ["mine"]}, "'mine' is no licence"),
    ],
)
def test_options_that_cannot_be_meant_are_named_before_anything_is_asked(gather, server, wanted, says):
    with pytest.raises(UserError, match=re.escape(says)):
        gather(**wanted)
    assert not server.seen


def test_places_that_are_unclear_are_named(gather, server):
    server.places = [{"id": n, "name": "Georgia", "display_name": f"Georgia, {n}", "admin_level": 10} for n in (1, 2)]
    with pytest.raises(UserError, match=r"Georgia is several places.*Georgia, 1, number 1; Georgia, 2, number 2"):
        gather(place="Georgia")
    with pytest.raises(UserError, match="Georgia is none; add --source inaturalist"):
        gather(sources=["gbif"], place="Georgia")
    assert not server.photos_seen()


# names


def test_a_synonym_is_followed_and_told(gather, server):
    server.taxa.append(taxon(7, "Parathunnus obesus", active=False, successors=[1]))
    old = {"usageKey": 1, "acceptedUsageKey": 9001, "canonicalName": "Parathunnus obesus", "rank": "SPECIES"}
    server.matches["Parathunnus obesus"] = {**old, "matchType": "EXACT", "species": "Thunnus obesus"}
    result = gather(["Parathunnus obesus", "Thunnus obesus"])
    assert result.notes == ["Parathunnus obesus is called Thunnus obesus at iNaturalist"]
    assert result.counts["species"] == 1 and set(files(gather.out)) >= {f"{TUNA}/inaturalist_1000.jpg"}
    server.records = [record(5, 9001, [("a.jpg", CC_BY)])]
    server.pictures[at_path("a.jpg", PICTURES)] = picture(7)
    result = gather(["Parathunnus obesus"], ["gbif"])
    assert result.notes == ["Parathunnus obesus is called Thunnus obesus at GBIF"] and result.counts["photos"] == 4


def test_names_of_any_language_and_common_names_are_found(gather, server):
    server.taxa.append(taxon(30, "Sarda sarda", other=["Atlantic bonito"]))
    server.observations.append(observation(300, 30, [3000]))
    result = gather(["メバチ", "Atlantic bonito"])
    assert result.notes == ["Atlantic bonito is a name of Sarda sarda at iNaturalist"]
    assert {"Thunnus_obesus", "Sarda_sarda"} == {path.name for path in gather.out.iterdir() if path.is_dir()}


def test_ambiguous_and_unknown_names_are_all_named_and_nothing_is_fetched(gather, server):
    server.taxa += [taxon(40, "Homonyma fish"), taxon(41, "Homonyma fish")]
    server.taxa += [taxon(50, "Splitus", active=False, successors=[1, 2]), taxon(60, "Endus", active=False)]
    server.taxa += [taxon(70, "Thunnus", rank_level=20), taxon(71, "Thunnus obesulus")]
    with pytest.raises(UserError) as caught:
        gather(["Homonyma fish", "Splitus", "Endus", "Thunnus", "obesul", "Thunnus obesus"])
    said = str(caught.value)
    assert "Homonyma fish is several species at iNaturalist: Homonyma fish (Actinopterygii, number 40)" in said
    assert "Splitus is several species at iNaturalist: Thunnus obesus (" in said and "Auxis rochei (" in said
    assert "Endus is no species at iNaturalist now" in said and "Thunnus is no species at iNaturalist" in said
    assert "obesul is no species at iNaturalist (did you mean Thunnus obesulus?)" in said
    assert not server.photos_seen()
    assert gather(["40"], each=1).notes == ["number 40 is Homonyma fish at iNaturalist"]


def test_gbif_s_ambiguous_and_misspelt_names_are_named(gather, server):
    both = [{"scientificName": f"Homonyma fish {who}", "kingdom": who, "matchType": "EXACT", "rank": "SPECIES"}
            for who in ("Animalia", "Plantae")]  # fmt: skip
    server.matches["Homonyma fish"] = {"matchType": "NONE", "note": "Multiple equal matches", "alternatives": both}
    near = {"matchType": "FUZZY", "usageKey": 9001, "rank": "SPECIES", "canonicalName": "Thunnus obesus"}
    server.matches["Thunus obesus"] = near
    server.matches["Thunnus"] = {"matchType": "EXACT", "usageKey": 3, "rank": "GENUS", "canonicalName": "Thunnus"}
    with pytest.raises(UserError) as caught:
        gather(["Homonyma fish", "Thunus obesus", "Thunnus"], ["gbif"])
    said = str(caught.value)
    assert "Homonyma fish Animalia (Animalia), Homonyma fish Plantae (Plantae)" in said
    assert "Thunus obesus is no species at GBIF (did you mean Thunnus obesus?). Thunnus is no species at GBIF." in said


def test_a_species_that_one_service_lacks_comes_from_the_other_and_is_told_without_asking_again(gather, server):
    del server.matches["Thunnus obesus"]
    for _ in range(2):
        assert gather(sources=["inaturalist", "gbif"]).notes == ["Thunnus obesus is no species at GBIF"]
    assert len([path for path in server.seen if path.endswith("match")]) == 1


# what goes wrong on the way


def test_a_species_without_a_photo_is_told(gather, server):
    server.observations = [o for o in server.observations if o["taxon_id"] != 2]
    result = gather(["Thunnus obesus", "Auxis rochei"])
    assert result.empty == ["Auxis rochei"] and result.counts["photos"] == 3


@pytest.mark.parametrize("path", [large(1000), "/api.inaturalist.org/v1/observations"])
@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        (status(429, Retry_After="7"), 7.0),
        (status(429, Retry_After="Tue, 14 Nov 2023 22:13:40 GMT"), None),  # a date: 20 seconds after the start
        (status(429, Retry_After="soon"), 2.0),
        (status(429), 2.0),
        (status(500), 2.0),
        (status(503, Retry_After="30"), 30.0),
        (cut, 2.0),
    ],
)
def test_a_host_that_cannot_answer_now_is_waited_for(gather, server, path, answer, waits):
    server.bad[path] = [answer, None]
    time = FakeTime()
    assert gather(each=1, time=time).counts["photos"] == 1
    assert server.seen.count(path) == 2
    assert waits in time.slept if waits else any(10 < pause <= 20 for pause in time.slept)


def test_a_photo_without_an_answer_is_tried_again_by_the_next_run(gather, server):
    server.bad[large(1000)] = [status(500)]
    server.bad[large(1100)] = [status(429, Retry_After="86400")]
    time = FakeTime()
    result = gather(time=time)
    assert result.counts["failed"] == 2 and result.counts["photos"] == 1
    assert result.unfinished == ["2 photos got no answer; the same command tries them again."]
    assert "asks to wait 86400 seconds" in reasons(gather)["11"] and max(time.slept) <= 32
    server.bad.clear()
    result = gather()
    assert result.counts == {"species": 1, "photos": 3, "new": 2, "in conflict": 0} and not result.unfinished


def test_a_service_that_is_down_is_told_and_the_other_goes_on(gather, server):
    server.bad["/api.inaturalist.org/v1/observations"] = [status(500)]
    server.records = [record(n, 9000 + n, [(f"{n}.jpg", CC_BY)]) for n in (1, 2)]
    server.pictures = {at_path(f"{n}.jpg", PICTURES): picture(n) for n in (1, 2)}
    result = gather(["Thunnus obesus", "Auxis rochei"], ["inaturalist", "gbif"])
    assert result.counts["photos"] == 2
    assert result.unfinished == ["api.inaturalist.org does not answer (answer 500); run the same command again later."]
    assert server.seen.count("/api.inaturalist.org/v1/observations") == 6  # given up for the second species
    server.bad.clear()
    assert gather(["Thunnus obesus", "Auxis rochei"], ["inaturalist", "gbif"]).counts["photos"] == 8


def test_a_host_that_is_down_is_not_asked_for_every_photo(gather, server):
    server.observations = [observation(n, 1, [n], user=n) for n in range(1, 60)]
    server.bad = {large(n): [status(500)] for n in range(1, 60)}
    result = gather()
    assert len(server.photos_seen()) == 3 * 6 and result.counts["photos"] == 0
    assert any("20 photos in a row got no answer" in sentence for sentence in result.unfinished)


def html(kind: str):
    page = b"<!DOCTYPE html><html><body>This photo has moved</body></html>"
    return lambda handler: send(handler, 200, page, {"Content-Type": kind})


def declared(handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "image/jpeg")
    handler.send_header("Content-Length", str(300 << 20))
    handler.end_headers()


def endless(handler) -> None:
    """A body of 300 MB without a word about its length."""
    handler.send_response(200)
    handler.send_header("Content-Type", "image/jpeg")
    handler.end_headers()
    for _ in range(300):
        handler.wfile.write(bytes(1 << 20))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (html("text/html"), "unusable: its host sends text/html, no picture"),
        (html("image/jpeg"), "unusable: no picture in a format that is read"),
        (lambda h: send(h, 200, b"%PDF", {"Content-Type": "application/pdf"}), "unusable: its host sends application"),
        (lambda h: send(h, 200, b"", {"Content-Type": "image/jpeg"}), "unusable: "),
        (lambda h: send(h, 200, picture(1)[:900], {"Content-Type": "image/jpeg"}), "unusable: cannot be decoded"),
        (declared, "unusable: it has 315 MB, more than the 42 MB"),
        (endless, "unusable: it has more than the 42 MB"),
        (status(404), "gone: withdrawn"),
        (status(410), "gone: withdrawn"),
        (status(403), "gone: withdrawn"),
        (status(302, Location="file:///etc/passwd"), "unusable: file:///etc/passwd is no address"),
        (status(302, Location=f"https://{OPEN_DATA}/photos/1000/large.jpg"), "unusable: its address leads in circles"),
        (status(302), "unusable: its address leads in circles"),
    ],
)
def test_what_is_no_photo_is_a_row_with_its_reason(gather, server, answer, says):
    server.bad[large(1000)] = [answer]
    assert gather().counts["photos"] == 2
    assert reasons(gather)["10"].startswith(says)
    gather()
    assert server.photos_seen().count(large(1000)) == 1  # and is not asked for again


def test_redirects_are_followed_between_hosts_and_not_for_ever(gather, server):
    server.bad[large(1000)] = [status(301, Location="http://pictures.example.org/moved.jpg")]
    server.bad[at_path("moved.jpg", PICTURES)] = [status(307, Location="/there.jpg")]
    server.pictures[at_path("there.jpg", PICTURES)] = picture(5)
    server.bad[large(1100)] = [status(302, Location="http://pictures.example.org/0")]
    for n in range(9):
        server.bad[at_path(str(n), PICTURES)] = [status(302, Location=f"/{n + 1}")]
    assert gather().counts["photos"] == 2
    assert "on and on" in reasons(gather)["11"] and at_path("5", PICTURES) not in server.seen


def test_an_answer_that_drips_ends(gather, server):
    def drip(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "image/jpeg")
        handler.end_headers()
        for _ in range(50):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            threading.Event().wait(0.005)

    server.bad[large(1000)] = [drip]
    gather(each=2, time=FakeTime(tick=100.0))
    assert "failed: it took longer than 180 seconds" in reasons(gather)["10"]


def test_a_licence_that_changes_between_two_pages_counts_as_it_is_said_last(gather, server):
    server.most_a_page = 1
    shared, other = (500, "cc-by"), (501, "cc-by")
    server.observations = [
        observation(1, 1, [shared, other], user=1),
        observation(2, 1, [(500, None), (501, "cc0"), (502, "cc0")], user=2),
    ]
    gather()
    kept = table(gather).set_index("photo_id")
    assert list(kept.index) == [f"{TUNA}/inaturalist_{n}.jpg" for n in (501, 502)]
    assert kept["licence"].iloc[0] == "CC0"
    assert not (gather.out / TUNA / "inaturalist_500.jpg").exists()
    assert "listed under CC BY and later not: no licence is stated" in reasons(gather)["1"]


def test_near_duplicates_are_kept_once_and_across_species_shown_as_a_conflict(gather, server):
    server.pictures[large(1100)] = picture(1000, noise=3)  # another file, the same photo of the species
    server.pictures[large(2000)] = picture(1200, noise=4)  # one of the other species
    result = gather(["Thunnus obesus", "Auxis rochei"])
    assert result.counts == {"species": 2, "photos": 5, "new": 5, "duplicate": 1, "in conflict": 2}
    assert reasons(gather)["11"] == f"duplicate: looks like {TUNA}/inaturalist_1000.jpg"
    pair = [f"{AUXIS}/inaturalist_2000.jpg", f"{TUNA}/inaturalist_1200.jpg"]
    conflicts = table(gather, "conflicts.csv").to_dict("records")
    assert conflicts == [
        {"photo_id": pair[0], "species": "Auxis rochei", "looks_like": pair[1], "of_species": "Thunnus obesus"}
    ]
    shown = table(gather).set_index("photo_id")["conflict"]
    assert shown[pair[0]] == pair[1] and shown[pair[1]] == pair[0] and (shown == "").sum() == 3


def test_one_photo_under_two_species_is_fetched_once_and_a_conflict(gather, server):
    server.observations += [observation(90, 1, [7]), observation(91, 2, [7])]
    result = gather(["Thunnus obesus", "Auxis rochei"])
    assert result.counts["in conflict"] == 2 and not twice(server.photos_seen())


def test_an_answer_of_another_form_stops_the_service_with_a_sentence(gather, server):
    path = "/api.inaturalist.org/v1/observations"
    for answer in ({"results": None}, ["no"], {"results": [{"id": "x"}]}, {"results": [{"id": 0}]}):
        server.bad[path] = [lambda h, a=answer: send(h, 200, json.dumps(a).encode())]
        assert len(gather().unfinished) == 1
    server.bad[path] = [lambda h: send(h, 200, b"<html>"), None]
    assert gather().counts["photos"] == 3


def test_a_flagged_photo_is_not_taken(gather, server):
    server.observations[0]["photos"][0]["flags"] = [{"flag": "copyright infringement", "resolved": False}]
    gather()
    assert reasons(gather)["10"] == "not allowed: it is flagged at iNaturalist"


# once more


def test_a_second_run_of_a_complete_set_asks_at_most_once_a_species_and_for_no_photo(gather, server):
    server.records = [record(n, 9000 + n, [(f"{n}.jpg", CC_BY)]) for n in (1, 2)]
    server.pictures = {at_path(f"{n}.jpg", PICTURES): picture(n) for n in (1, 2)}
    both = (["Thunnus obesus", "Auxis rochei"], ["inaturalist", "gbif"])
    gather(*both)
    before = files(gather.out)
    server.seen.clear()
    assert gather(*both).counts["new"] == 0
    assert not server.photos_seen() and len(server.seen) <= 2 and files(gather.out) == before
    server.seen.clear()
    gather(*both, each=4)  # as many as wanted are here: nothing is asked at all
    assert not server.seen


def test_new_observations_are_found_by_the_next_run(gather, server):
    gather()
    server.observations.append(observation(99, 1, [9900]))
    assert gather().counts["new"] == 1


def test_a_photo_deleted_here_comes_again_and_one_withdrawn_since_is_a_row(gather, server):
    gather()
    before = files(gather.out)
    for number in (1000, 1100):
        (gather.out / TUNA / f"inaturalist_{number}.jpg").unlink()
    server.bad[large(1100)] = [status(404)]
    assert gather().counts["photos"] == 2
    assert (gather.out / TUNA / "inaturalist_1000.jpg").read_bytes() == before[f"{TUNA}/inaturalist_1000.jpg"]
    assert reasons(gather)["11"] == "gone: withdrawn, it is not there any more (answer 404)"


def test_killed_at_any_moment_the_same_files_come_out(server, tmp_path):
    server.observations = [
        observation(n, 1 + n % 2, [(n, "cc-by"), (1000 + n, None if n % 3 else "cc0")], user=n % 7, places=[6737])
        for n in range(1, 31)
    ]
    server.records = [record(n, 9001 + n % 2, [(f"{n}.jpg", CC_BY)], by=f"P{n}") for n in range(8)]
    server.pictures = {at_path(f"{n}.jpg", PICTURES): picture(500 + n) for n in range(8)}
    server.pictures[large(9)] = picture(7, noise=1)  # a duplicate, a conflict, one that is gone, one no picture
    server.pictures[large(4)] = picture(3, noise=1)
    server.bad = {large(11): [status(404)], large(12): [html("image/jpeg")]}
    script = Path(__file__).with_name("gather_services.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), str(script.parent)])}

    def run(out: Path) -> subprocess.Popen:
        command = [sys.executable, str(script), str(server.port), str(out), "30"]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)

    whole = run(tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    expected = files(tmp_path / "whole")
    requests_of_a_run = len(server.seen)
    server.seen.clear()

    chance = random.Random(5)
    moments = sorted(chance.sample(range(1, requests_of_a_run - 5), 10), reverse=True)
    killed, code = 0, None
    while code != 0:
        process = run(tmp_path / "killed")
        server.before = killing(server, process, moments.pop(), chance.uniform(0, 0.02)) if moments else ignore
        code = process.wait()
        assert code in (0, -signal.SIGKILL), process.stderr.read()
        killed += code != 0
    assert killed == 10
    assert files(tmp_path / "killed") == expected
    assert len(twice(server.photos_seen())) <= killed  # but for the one that was on its way
    assert not list((tmp_path / "killed").rglob(".tmp-*"))


def ignore(path: str) -> None:
    pass


def killing(server, process: subprocess.Popen, moment: int, later: float):
    """Kills the process some milliseconds after the server's request number `moment`, or its own first one."""

    def look(path: str) -> None:
        if len(server.seen) >= moment:
            server.before = ignore
            threading.Timer(later, process.send_signal, [signal.SIGKILL]).start()

    return look


def test_a_folder_that_holds_other_photos_attributions_is_left_alone(gather, server):
    gather.out.mkdir()
    (gather.out / "attribution.csv").write_text("mine\n")
    with pytest.raises(UserError, match=r"attribution\.csv is there without the journal"):
        gather()
    assert (gather.out / "attribution.csv").read_text() == "mine\n" and not server.seen


def test_a_journal_from_a_stranger_writes_nothing_outside(gather, server):
    gather()
    journal = gather.out / ".gathered.jsonl"
    lines = journal.read_text()
    journal.write_text(lines.replace(f'"species": "{TUNA}"', '"species": "../elsewhere"'))
    (gather.out.parent / "elsewhere").mkdir()
    gather()
    assert not list((gather.out.parent / "elsewhere").iterdir())
    journal.write_text('{"kind": "photos", "photos": [{"species": 5}]}\n{"kind": "walk"}\nnull\n{"kind": "name"}\n')
    assert gather(each=1).counts["photos"] == 1


# lists


def test_photos_of_a_list_with_licence_author_and_group(gather, server, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(
        "Species,URL,License,Author,date,group\n"
        f"Thunnus obesus,http://{PICTURES}/a.jpg,CC BY 4.0,Anna a@b.org,2020-05-01,trip 1\n"
        f"Thunnus_obesus,http://{PICTURES}/b.jpg,,,,\n"
        f"マサバ,http://{PICTURES}/c.jpg,all rights reserved,,,\n"
        "マサバ,ftp://elsewhere/d.jpg,,,,\n"
        "マサバ,http://me:secret@elsewhere/d.jpg,,,,\n"
        f"../../etc,http://{PICTURES}/e.jpg,CC0,Bo,,\n"
    )
    server.pictures = {at_path(f"{name}.jpg", PICTURES): picture(n) for n, name in enumerate("abe")}
    result = collect.collect_listed(gather.out, path, client=client(server.port), progress=False)
    assert result.counts["photos"] == 3 and result.empty == ["Scomber japonicus"]
    kept = table(gather)
    assert sorted(kept["photo_id"].str.split("/").str[0]) == [TUNA, TUNA, "etc"]
    assert set(kept["licence"]) == {"CC BY", "", "CC0"} and "Anna (mail address left out)" in set(kept["author"])
    assert "trip 1" in set(table(gather, "groups.csv")["group"])
    refused = set(table(gather, "refused.csv")["reason"])
    assert any("row 5, has no address" in why for why in refused) and any("a password" in why for why in refused)
    assert "secret" not in (gather.out / "refused.csv").read_text()
    assert "1 photos come from a list that states no licence" in (gather.out / "dataset.md").read_text()
    server.seen.clear()
    collect.collect_listed(gather.out, path, client=client(server.port), progress=False)
    assert not server.seen


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("species\nx\n", "no column 'url'"),
        ("species,url\n", "lists no photo"),
        ("species,url\n,http://a/b.jpg\n", "row 2, names no species"),
        ("species,url\na/b,http://a/1.jpg\na:b,http://a/2.jpg\n", "would share the folder a_b"),
    ],
)
def test_a_list_that_cannot_be_meant_is_named(gather, server, tmp_path, text, says):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(says)):
        collect.collect_listed(gather.out, path, client=client(server.port), progress=False)
    assert not server.seen


def test_the_command_says_what_came_and_ends_with_1_where_a_species_got_nothing(server, tmp_path, capsys):
    here = f"http://127.0.0.1:{server.port}/{PICTURES}"
    server.pictures[at_path("a.jpg", PICTURES)] = picture(1)
    (tmp_path / "list.csv").write_text(f"species,url\nThunnus obesus,{here}/a.jpg\nAuxis rochei,{here}/gone.jpg\n")
    out = tmp_path / "photos"
    said = run_command("photos", "--from", str(tmp_path / "list.csv"), "--out", str(out))
    assert said.returncode == 1
    assert "2 species, 1 photos, 1 new, 1 gone, 0 in conflict; see" in said.stdout
    assert "fishlib: no photo of 1 species: Auxis rochei." in said.stderr and "Traceback" not in said.stderr
    server.pictures[at_path("b.jpg", PICTURES)] = picture(2)
    (tmp_path / "list.csv").write_text(f"species,url\nThunnus obesus,{here}/b.jpg\n")
    assert run_command("photos", "--from", str(tmp_path / "list.csv"), "--out", str(out)).returncode == 0
    assert len(read_frame(out / "attribution.csv")) == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--from", "none.csv", "Thunnus obesus"], "leave names, --species, --source and --place out"),
        (["--from", "none.csv"], "none.csv cannot be read"),
        (["--species", "none.txt"], "none.txt cannot be read as text"),
        (["--each", "0"], "--each"),
        (["--source", "flickr"], "flickr is no source"),
    ],
)
def test_a_wrong_command_is_one_sentence(tmp_path, given, says):
    said = run_command("photos", "--out", str(tmp_path / "photos"), *given)
    assert said.returncode == 2 and says in said.stderr and "Traceback" not in said.stderr


def run_command(*given: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "fishlib.cli", *given]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_names_of_a_file_with_remarks(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\ufeffThunnus obesus  # bigeye\n\n# none here\nマサバ\n")
    assert names.read_names(path) == ["Thunnus obesus", "マサバ"]
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match="names no species"):
        names.read_names(path)


def test_the_paper_s_species_are_asked_for_without_names(gather, server):
    with pytest.raises(UserError) as caught:
        gather([])
    assert str(caught.value).count("is no species at iNaturalist") == 15  # the server knows two of them


# small parts


@pytest.mark.parametrize(
    ("text", "code", "version"),
    [
        ("cc0", "CC0", "1.0"), ("CC0_1_0", "CC0", "1.0"), ("CC0 1.0 Universal", "CC0", "1.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/legalcode", "CC0", "1.0"),
        ("cc-by", "CC BY", "4.0"), ("CC BY 2.0", "CC BY", "2.0"), ("CC_BY_4_0", "CC BY", "4.0"),
        ("Creative Commons Attribution 3.0 Unported", "CC BY", "3.0"),
        ("https://creativecommons.org/licenses/by-nc/4.0/deed.en", "CC BY-NC", "4.0"),
        ("Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)", "CC BY-NC", "4.0"),
        ("cc by non-commercial", "CC BY-NC", "4.0"), ("CC-BY-NC-SA", "CC BY-NC-SA", "4.0"),
        ("http://creativecommons.org/licenses/by-nd/2.0/jp/", "CC BY-ND", "2.0"), ("public domain", "PDM", "1.0"),
    ],
)  # fmt: skip
def test_licences_that_a_text_names(text, code, version):
    licence = licences.known(text)
    assert licence.code == code and f"/{version}/" in licence.url
    assert licences.known(licence.url) == licence and licences.known(licence.code).code == code


@pytest.mark.parametrize(
    "text",
    [
        "", "©", "all rights reserved", "CC", "by", "nc", "not CC BY", "CC BY or all rights reserved",
        "CC BY for the text only", "CC SA ND", "CC BY-SA-ND", "cc0 for data", "CC NC 4.0",
        "http://creativecommons.org/licenses/nc/1.0/", "http://example.org/licenses/by/4.0/",
        "http://creativecommons.org/licenses/by/4.0/ for the record", "Anna, CC BY 4.0", "some rights reserved",
        "public domain in the US",
    ],
)  # fmt: skip
def test_texts_that_name_no_licence_we_know(text):
    assert licences.known(text) is None


@given(st.text(max_size=120))
def test_any_name_becomes_a_folder_s_name_that_leads_nowhere(name):
    folder = names.folder_of(name)
    assert folder and len(folder) <= 96 and not set(folder) & set('/\\:*?"<>|. ') and folder.isprintable()
    assert folder.casefold() not in names.RESERVED and not folder.startswith("-")
    assert paths.inside(Path("photos"), folder).parent == Path("photos")


@given(st.text(max_size=400))
def test_plain_text_is_one_printable_line_without_a_mail_address(text):
    line = common.plain(f"{text} someone@example.org")
    assert "@example" not in line and len(line) <= common.MAX_TEXT and (not line or line.isprintable())


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30), st.integers(0, 2**64 - 1))
def test_looks_finds_what_differs_in_few_bits(hashes, asked):
    kept = looks.Looks()
    for number, one in enumerate([*hashes, asked ^ 0b1011, asked ^ 0b11111]):
        kept.add(str(number), one)
    expected = [
        str(n) for n, h in enumerate([*hashes, asked ^ 0b1011, asked ^ 0b11111]) if (h ^ asked).bit_count() <= 4
    ]
    assert kept.near(asked) == expected and str(len(hashes)) in expected


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_bits_are_counted_with_any_numpy(numbers):
    table = looks.BITS[np.array(numbers, np.uint64).view(np.uint16)].reshape(-1, 4).sum(axis=1)
    assert list(table) == list(looks._bits(np.array(numbers, np.uint64))) == [n.bit_count() for n in numbers]


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (700, 3), (300, 200), (5000, 11)])
def test_pictures_of_any_shape_have_a_look(size):
    width, height = size
    assert 0 <= picture_of.look(np.full((height, width, 3), 90, np.uint8)) < 2**64


def test_looks_grows(tmp_path):
    kept = looks.Looks()
    for number in range(3000):
        kept.add(str(number), number << 32)
    assert "2047" in kept.near(2047 << 32)


# pace


def test_services_and_hosts_are_asked_at_their_pace(gather, server):
    server.most_a_page = 1
    time = FakeTime()
    arrived = []
    server.before = lambda path: arrived.append((path, time.seconds))
    gather(time=time)
    for host in ("/api.inaturalist.org", f"/{OPEN_DATA}"):
        moments = [when for path, when in arrived if path.startswith(host)]
        assert len(moments) >= 3 and min(np.diff(moments)) >= 1.0


def test_no_more_than_so_many_bytes_an_hour(server):
    from gather_services import session

    from fishlib.photos.gather.client import Client, Limits

    time = FakeTime()
    size = len(picture(1))
    slow = Client(session(server.port), time.clock(), Limits(bytes_an_hour=2 * size))
    for _ in range(2):
        slow.photo(f"https://{OPEN_DATA}/photos/1/large.jpg")
    assert time.seconds < 10
    slow.photo(f"https://{OPEN_DATA}/photos/1/large.jpg")
    assert 3600 <= time.seconds < 3610


def test_photos_of_inaturalist_come_in_the_size_that_is_needed():
    address = "https://static.inaturalist.org/photos/13824507/square.jpeg?1545715684"
    sizes = {side: inaturalist.sized(address, side).rsplit("/", 1)[1] for side in (300, 1024, 1100, 4000)}
    assert sizes == {300: "medium.jpeg", 1024: "large.jpeg", 1100: "original.jpeg", 4000: "original.jpeg"}
