// Reads the barcode of a paper bill into its field, where the browser has a camera and can read
// barcodes. Without either nothing shows, and the number is typed.
(() => {
  const room = document.querySelector("[data-scan]");
  if (!room || !("BarcodeDetector" in window) || !navigator.mediaDevices) return;
  const part = (name) => room.querySelector(`[data-scan-${name}]`);
  const field = document.getElementById(room.dataset.scan);
  const video = room.querySelector("video");
  const said = part("said");
  let stream = null;

  const stop = () => {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    part("view").hidden = true;
    part("start").hidden = false;
  };

  const take = (codes) => {
    const found = codes.map((code) => code.rawValue).find((text) => /^\d{30}$/.test(text));
    if (!found) return false;
    field.value = found.replace(/(\d{5})(?=\d)/g, "$1 ");
    said.textContent = said.dataset.found;
    stop();
    field.focus();
    return true;
  };

  const look = async (detector) => {
    if (!stream) return;
    const codes = await detector.detect(video).catch(() => []);
    if (stream && !take(codes)) setTimeout(look, 150, detector);
  };

  part("start").addEventListener("click", async () => {
    said.textContent = "";
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      part("view").hidden = false;
      part("start").hidden = true;
      await video.play();
      look(new BarcodeDetector({ formats: ["code_128"] }));
    } catch {
      stop();
      said.textContent = said.dataset.refused;
    }
  });
  part("stop").addEventListener("click", () => {
    stop();
    part("start").focus();
  });
  addEventListener("pagehide", stop);
  room.hidden = false;
})();
