// Says so where a picture, sound or film can't be shown.
for (const media of document.querySelectorAll("[data-media]")) {
  const broken = () => {
    media.parentElement.hidden = true;
    document.querySelector("#broken").hidden = false;
  };
  media.addEventListener("error", broken);
  if (media.error || (media.complete && media.naturalWidth === 0)) broken();
}
