// The corner in which one's own picture sits. Kept for this window's life, also when the page is loaded anew.

export const corners = ["bottomRight", "bottomLeft", "topLeft", "topRight"] as const;
export type Corner = (typeof corners)[number];

const STORED = "self-view-corner";

const stored = sessionStorage.getItem(STORED);
export const self: { corner: Corner } = $state({
  corner: corners.find((corner) => corner === stored) ?? "bottomRight",
});

export function toCorner(corner: Corner): void {
  self.corner = corner;
  sessionStorage.setItem(STORED, corner);
}

/** Round by round, for those who do not drag. */
export function nextCorner(): void {
  toCorner(corners[(corners.indexOf(self.corner) + 1) % corners.length] ?? "bottomRight");
}
